//! What is wrong with certificates that can be used all the same.

use std::collections::HashMap;
use std::sync::Arc;

use wire::x509;

use crate::load::Loaded;
use crate::{DAY_S, Identity, Kind, Problem, WARN_DAYS};

pub(crate) fn judge(loaded: &mut Loaded, now_s: i64) {
    let mut problems = Vec::new();
    // Zero is for those who do not ask.
    if now_s > 0 {
        for identity in &mut loaded.identities {
            dates(&mut problems, identity, now_s);
            staple(&mut problems, identity, now_s);
            chain(&mut problems, identity);
            if identity.names.is_empty() {
                let message =
                    format!("the certificate in {} has no host names (subjectAltName)", identity.file.display());
                let remedy = "clients accept it for no host; have one issued with the names it is for";
                note(&mut problems, identity, Kind::Names, (message, remedy));
            }
        }
        twice(&mut problems, &loaded.identities, now_s);
    }
    loaded.problems.append(&mut problems);
    loaded.problems.sort_by_key(|problem| problem.source);
}

fn note(problems: &mut Vec<Problem>, identity: &Identity, kind: Kind, (message, remedy): (String, &str)) {
    problems.push(Problem { source: identity.source, is_error: false, kind, message, remedy: remedy.to_owned() });
}

fn dates(problems: &mut Vec<Problem>, identity: &Identity, now_s: i64) {
    let (file, title) = (identity.file.display(), identity.title());
    let days = (identity.not_after - now_s).div_euclid(DAY_S);
    let said = if now_s > identity.not_after {
        let ago = (now_s - identity.not_after) / DAY_S;
        (format!("the certificate of {title} in {file} expired {} ago", counted(ago)), "renew it")
    } else if now_s < identity.not_before {
        let message = format!("the certificate of {title} in {file} is not valid yet");
        (message, "is the clock of this machine right?")
    } else if days < WARN_DAYS {
        (format!("the certificate of {title} in {file} expires in {}", counted(days)), "renew it")
    } else {
        return;
    };
    note(problems, identity, Kind::Expiry, said);
}

fn counted(days: i64) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}

/// A stapled answer that is over would have clients give up that would else go on.
fn staple(problems: &mut Vec<Problem>, identity: &mut Identity, now_s: i64) {
    let Some(answer) = identity.key.ocsp.as_deref().and_then(x509::stapled) else { return };
    let is_over = answer.next_update.is_some_and(|next| next < now_s);
    if is_over || !answer.is_good {
        let why = if is_over { "is out of date" } else { "does not say that it is good" };
        let message = format!("the OCSP answer for {} {why}: it is not sent", identity.file.display());
        let mut certified = (*identity.key).clone();
        certified.ocsp = None;
        identity.key = Arc::new(certified);
        note(problems, identity, Kind::Expiry, (message, "fetch it anew"));
    }
}

/// A leaf that says where its issuer's certificate is to be had was issued by one that clients do not have.
fn chain(problems: &mut Vec<Problem>, identity: &Identity) {
    let [leaf] = identity.key.cert.as_slice() else { return };
    if x509::parse(leaf).is_some_and(|leaf| !leaf.is_self_issued() && leaf.names_issuers_place) {
        let message = format!("the chain in {} ends with the certificate itself", identity.file.display());
        let remedy = "add the certificate of its issuer behind it (the `fullchain` of most authorities)";
        note(problems, identity, Kind::Chain, (message, remedy));
    }
}

/// Two valid certificates of one kind for one name: only one of them is ever shown.
fn twice(problems: &mut Vec<Problem>, identities: &[Identity], now_s: i64) {
    let mut known: HashMap<(&str, bool), &Identity> = HashMap::new();
    for identity in identities.iter().filter(|identity| identity.is_valid(now_s)) {
        for name in &identity.names {
            let Some(first) = known.insert((name, identity.is_rsa()), identity) else { continue };
            let message = format!("{} and {} are both for {name}", first.file.display(), identity.file.display());
            note(
                problems,
                identity,
                Kind::Names,
                (message, "the one that is valid for longer is shown; take the other away"),
            );
            break;
        }
    }
}
