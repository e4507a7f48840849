//! Patterns of `LIKE`.

use alloc::vec::Vec;

/// Texts with places for any character (`_`) and any characters (`%`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    This(char),
    One,
    Many,
}

impl Pattern {
    /// Reads a pattern in which `escape` makes the next character stand for itself.
    pub(super) fn new(text: &str, escape: Option<char>) -> Self {
        let mut chars = text.chars();
        let mut parts = Vec::new();
        while let Some(c) = chars.next() {
            parts.push(match c {
                _ if Some(c) == escape => Part::This(chars.next().unwrap_or(c)),
                '_' => Part::One,
                '%' => Part::Many,
                _ => Part::This(c),
            });
        }
        parts.dedup_by(|b, a| (*a, *b) == (Part::Many, Part::Many));
        Self(parts)
    }

    /// Whether the whole text is as the pattern says. Goes back to the last `%` only: in the worst case it takes as many
    /// steps as the product of the lengths.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (mut parts, mut rest) = (&self.0[..], text.chars());
        let mut again = None;
        loop {
            match parts.split_first() {
                Some((Part::Many, after)) => {
                    parts = after;
                    again = Some((after, rest.clone()));
                    continue;
                }
                Some((part, after)) => {
                    let Some(c) = rest.next() else { return false };
                    if matches!(part, Part::One) || *part == Part::This(c) {
                        parts = after;
                        continue;
                    }
                }
                None if rest.as_str().is_empty() => return true,
                None => {}
            }
            let Some((after, from)) = &mut again else { return false };
            if from.next().is_none() {
                return false;
            }
            (parts, rest) = (after, from.clone());
        }
    }
}
