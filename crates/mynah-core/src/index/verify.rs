//! Whether a filter that a hash has found selects a topic: [`Filter::matches`] for the filters that matching meets most,
//! in one pass over the bytes.

use mynah_model::{Filter, Topic};

/// Whether `filter`, which has no `#` but in the last place, selects `topic`.
pub(super) fn selects(filter: Filter<'_>, topic: Topic<'_>) -> bool {
    if filter.has_leading_wildcard() && topic.is_dollar() {
        return false;
    }
    let segment_end = |bytes: &[u8]| bytes.iter().position(|&b| b == b'/').unwrap_or(bytes.len());
    let (mut wanted, mut given) = (filter.as_bytes(), topic.as_bytes());
    loop {
        (wanted, given) = match wanted {
            b"#" => return true,
            [b'+', rest @ ..] => (rest, &given[segment_end(given)..]),
            _ => {
                let (literal, rest) = wanted.split_at(segment_end(wanted));
                match given.strip_prefix(literal) {
                    Some(left) => (rest, left),
                    None => return false,
                }
            }
        };
        // A segment of the filter is used up; the topic's has to be too.
        (wanted, given) = match (wanted, given) {
            ([b'/', wanted @ ..], [b'/', given @ ..]) => (wanted, given),
            (b"" | b"/#", []) => return true,
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{filter, topic};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]
        #[test]
        fn it_is_the_definition(filter in filter(), topic in topic()) {
            let (filter, topic) = (Filter::from_checked(filter.as_bytes()), Topic::from_checked(topic.as_bytes()));
            if !filter.has_inner_many() {
                prop_assert_eq!(selects(filter, topic), filter.matches(topic));
            }
        }
    }
}
