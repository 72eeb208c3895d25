//! Backends that a pick avoids: few that an exchange has tried, or many that are full.

/// From so many on, a list is sorted, so that looking into it stays cheap.
const MANY: usize = 8;

/// Whether a list has a backend. O(1) while it is short, O(log n) beyond: such lists come from [`sorted`].
pub(super) fn has(avoid: &[u16], backend: u16) -> bool {
    match avoid.len() {
        ..MANY => avoid.contains(&backend),
        _ => avoid.binary_search(&backend).is_ok(),
    }
}

/// Whether [`has`] can look into this list.
pub(super) fn is_fit(avoid: &[u16]) -> bool {
    avoid.len() < MANY || avoid.is_sorted()
}

/// A list of all of these.
pub(super) fn sorted(all: impl Iterator<Item = u16>) -> Vec<u16> {
    let mut list: Vec<u16> = all.collect();
    list.sort_unstable();
    list.dedup();
    list
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sorted_list_has_what_it_was_made_of(all in prop::collection::vec(0u16..40, 0..30), other in 0u16..40) {
            let list = sorted(all.iter().copied());
            prop_assert!(is_fit(&list));
            prop_assert_eq!(has(&list, other), all.contains(&other));
        }
    }
}
