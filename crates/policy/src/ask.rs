//! What a backend asks for itself: less work than its weight, no new work, or to be out.
//!
//! Owns the words: of an agent's line, and of the fields of a probe's answer. What follows from them is decided in
//! [`crate::health`].

/// Characters of a wish that are kept for people.
const SHOWN: usize = 100;

/// A wish, and the words it was told in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What is asked.
    pub wish: Wish,
    /// How it was said, for people.
    pub words: String,
}

/// What a backend may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// All of its weight.
    All,
    /// So many thousandths of it, from 1 to 999.
    Part(u16),
    /// No new work; what runs is finished.
    Drain,
    /// To be out.
    Down,
}

impl Ask {
    /// The wish in an agent's line: `ready`, `drain`, `down` or `weight=50%`, each perhaps with more words after it, which
    /// are for people; `ready weight=50%` is a weight.
    ///
    /// # Errors
    /// The line is none of these.
    pub fn from_line(line: &str) -> Result<Self, String> {
        let words = shown(line);
        let mut each = line.split([' ', ',', '\t', '\r', '\n']).filter(|word| !word.is_empty());
        let first = each.next().unwrap_or_default().to_ascii_lowercase();
        let wish = match first.as_str() {
            "ready" | "up" => Some(each.next().and_then(weight).unwrap_or(Wish::All)),
            "drain" => Some(Wish::Drain),
            "down" => Some(Wish::Down),
            word => weight(word),
        };
        match wish {
            Some(wish) => Ok(Self { wish, words }),
            None => Err(format!("`{words}` is none of ready, drain, down and weight=50%")),
        }
    }

    /// The wish in the fields `X-Evenkeel-State` and `X-Evenkeel-Weight` of a passing probe's answer; what is not
    /// understood asks for nothing.
    #[must_use]
    pub fn from_fields(state: Option<&str>, weight: Option<&str>) -> Option<Self> {
        let drain = state.filter(|state| state.trim().eq_ignore_ascii_case("drain"));
        if let Some(state) = drain {
            return Some(Self { wish: Wish::Drain, words: shown(&format!("x-evenkeel-state: {state}")) });
        }
        let weight = weight?;
        match per_cent(weight.trim())? {
            Wish::All => None,
            wish => Some(Self { wish, words: shown(&format!("x-evenkeel-weight: {weight}")) }),
        }
    }

    /// The wish behind a status.
    #[must_use]
    pub fn from_status(status: u16, wish: Wish) -> Self {
        Self { wish, words: format!("status {status}") }
    }
}

/// `weight=50%` or `50%`.
fn weight(word: &str) -> Option<Wish> {
    match word.strip_prefix("weight=") {
        Some(number) => per_cent(number),
        None => per_cent(word).filter(|_| word.ends_with('%')),
    }
}

/// `50` or `50%`; 0 is no work, and nobody gets more than all.
fn per_cent(text: &str) -> Option<Wish> {
    match text.strip_suffix('%').unwrap_or(text).trim_end().parse::<u16>().ok()? {
        0 => Some(Wish::Drain),
        part @ 1..=99 => Some(Wish::Part(part * 10)),
        100 => Some(Wish::All),
        _ => None,
    }
}

/// Text from outside as it may be shown: short, and without control characters.
fn shown(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.trim().chars().take(SHOWN).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_line_is_one_word_and_perhaps_more_for_people() {
        for (line, wish) in [
            ("ready\n", Wish::All),
            ("up", Wish::All),
            ("  READY\r\n", Wish::All),
            ("ready weight=20%", Wish::Part(200)),
            ("weight=50%\n", Wish::Part(500)),
            ("50%", Wish::Part(500)),
            ("weight=100%", Wish::All),
            ("weight=0%", Wish::Drain),
            ("drain for the release", Wish::Drain),
            ("down disk full", Wish::Down),
        ] {
            let ask = Ask::from_line(line).unwrap();
            assert_eq!((ask.wish, ask.words.as_str()), (wish, line.trim()), "{line:?}");
        }
        for line in ["", "\n", "50", "weight=101%", "weight=", "-1%", "maybe", "HTTP/1.1 400 Bad Request"] {
            assert!(Ask::from_line(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn fields_ask_for_less_and_never_for_more() {
        let wish = |state, weight| Ask::from_fields(state, weight).map(|ask| ask.wish);
        assert_eq!(wish(None, None), None);
        assert_eq!(wish(None, Some(" 50 ")), Some(Wish::Part(500)));
        assert_eq!(wish(None, Some("7%")), Some(Wish::Part(70)));
        assert_eq!(wish(None, Some("100")), None);
        assert_eq!(wish(None, Some("0")), Some(Wish::Drain));
        assert_eq!(wish(Some("Drain"), Some("50")), Some(Wish::Drain));
        for nonsense in ["250", "-1", "much", ""] {
            assert_eq!(wish(Some("nonsense"), Some(nonsense)), None, "{nonsense}");
        }
    }

    #[test]
    fn words_from_outside_are_made_fit_for_people() {
        let ask = Ask::from_line(&format!("down \u{1b}[31m{}", "x".repeat(1000))).unwrap();
        assert!(ask.words.starts_with("down  [31mxxx") && ask.words.chars().count() == 100, "{}", ask.words);
    }
}
