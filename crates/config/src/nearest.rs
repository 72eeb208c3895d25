//! The nearest known word, for "did you mean".

/// What people write who come from elsewhere, and our word for it.
const ELSEWHERE: &[(&str, &str)] = &[
    ("algorithm", "policy"),
    ("balance", "policy"),
    ("lb_policy", "policy"),
    ("strategy", "policy"),
    ("ewma", "peak-ewma"),
    ("least-connections", "least-requests"),
    ("least_conn", "least-requests"),
    ("leastconn", "least-requests"),
    ("p2c", "power-of-two"),
    ("source", "ip-hash"),
    ("servers", "backends"),
    ("server", "backends"),
    ("upstreams", "backends"),
    ("targets", "backends"),
    ("endpoints", "backends"),
    ("members", "backends"),
    ("listen", "bind"),
    ("port", "bind"),
    ("address", "bind"),
    ("frontend", "listener"),
    ("upstream", "pool"),
    ("backend", "pool"),
    ("cluster", "pool"),
    ("rule", "route"),
    ("location", "route"),
    ("health_check", "health"),
    ("healthcheck", "health"),
    ("check", "health"),
    ("whitelist", "allow"),
    ("blacklist", "deny"),
    ("retries", "retry"),
    ("attempts", "tries"),
    ("url", "path"),
    ("prefix", "path"),
    ("hostname", "host"),
    ("status_code", "status"),
];

/// The candidate that `word` most likely means, if any is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let far = (word.chars().count() / 3).clamp(1, 3);
    let known: Vec<&str> = candidates.into_iter().collect();
    let by_letters = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), *candidate))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate);
    by_letters.or_else(|| {
        let ours = ELSEWHERE.iter().find(|(theirs, ours)| *theirs == lower && known.contains(ours))?.1;
        known.into_iter().find(|candidate| *candidate == ours)
    })
}

/// `did you mean …?`, or else what there is, or nothing when there is too much to list.
pub(crate) fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    /// More than this is no help at 3 a.m.
    const LISTED_MAX: usize = 12;
    if let Some(near) = nearest(word, candidates.clone()) {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<String> = candidates.into_iter().map(|name| format!("`{name}`")).collect();
    match all.len() {
        0 => String::new(),
        1..=LISTED_MAX => format!("choose from {}", all.join(", ")),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        assert_eq!(nearest("polcy", ["pool", "policy", "host"]), Some("policy"));
        assert_eq!(nearest("Policy", ["pool", "policy"]), Some("policy"));
        assert_eq!(nearest("tiemouts", ["timeouts", "tries"]), Some("timeouts"));
    }

    #[test]
    fn something_else_is_not_guessed() {
        assert_eq!(nearest("zebra", ["pool", "policy"]), None);
    }

    #[test]
    fn words_of_other_products_are_known() {
        assert_eq!(nearest("servers", ["backends", "policy"]), Some("backends"));
        assert_eq!(nearest("servers", ["policy"]), None);
    }

    #[test]
    fn a_short_list_is_told_when_nothing_is_near() {
        assert_eq!(suggestion("zebra", ["app", "api"]), "choose from `app`, `api`");
    }
}
