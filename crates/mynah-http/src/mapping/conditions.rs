//! Conditional requests (RFC 9110, section 13): entity tags are the tags of retained values.

use mynah_model::{Condition, ValueTag};

use super::HttpRequest;
use crate::Problem;

/// The ETag of a value: its tag's 16 hexadecimal digits, a strong validator.
pub(crate) fn entity_tag(tag: ValueTag) -> String {
    format!("\"{:016x}\"", tag.number())
}

impl HttpRequest<'_> {
    /// What If-Match and If-None-Match demand, in the order in which they are judged (section 13.2.2).
    pub(super) fn conditions(&self) -> Result<Vec<Condition>, Problem> {
        let mut conditions = Vec::new();
        match self.entity_tags("if-match")? {
            None => {}
            Some(Listed::Any) => conditions.push(Condition::Present),
            // Tags are compared strongly here: a weak one is equal to none (section 13.1.1).
            Some(Listed::Tags(tags)) => {
                let strong = tags.iter().filter(|tag| !tag.weak);
                conditions.push(Condition::OneOf(strong.filter_map(|tag| tag.known).collect()));
            }
        }
        match self.entity_tags("if-none-match")? {
            None => {}
            Some(Listed::Any) => conditions.push(Condition::Absent),
            Some(Listed::Tags(tags)) => {
                conditions.push(Condition::NoneOf(tags.iter().filter_map(|tag| tag.known).collect()));
            }
        }
        Ok(conditions)
    }

    /// The entity tags of a field, which may be spread over several lines.
    fn entity_tags(&self, name: &'static str) -> Result<Option<Listed>, Problem> {
        let lines: Vec<&[u8]> =
            self.fields.iter().filter(|(found, _)| *found == name).map(|(_, value)| *value).collect();
        match lines[..] {
            [] => Ok(None),
            [b"*"] => Ok(Some(Listed::Any)),
            _ => {
                let tags = read_list(&lines.join(&b','));
                tags.map(|tags| Some(Listed::Tags(tags))).ok_or(Problem::Field(name, LIST))
            }
        }
    }
}

const LIST: &str = "it has to be * or a list of entity tags in quotes";

/// What a field names.
enum Listed {
    /// `*`
    Any,
    Tags(Vec<EntityTag>),
}

/// One entity tag of a list.
struct EntityTag {
    weak: bool,
    /// The tag, if it can be that of a value here.
    known: Option<ValueTag>,
}

/// Reads `[W/]"..."` with commas between; empty elements are let be (section 5.6.1).
fn read_list(mut rest: &[u8]) -> Option<Vec<EntityTag>> {
    let mut tags = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return Some(tags);
        }
        let opaque = rest.strip_prefix(b"W/");
        let quoted = opaque.unwrap_or(rest).strip_prefix(b"\"")?;
        let end = quoted.iter().position(|&byte| byte == b'"')?;
        if quoted[..end].iter().any(|byte| matches!(byte, 0..=b' ' | 0x7f)) {
            return None;
        }
        tags.push(EntityTag { weak: opaque.is_some(), known: known_tag(&quoted[..end]) });
        rest = quoted[end + 1..].trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b",") {
            return None;
        }
    }
}

fn known_tag(opaque: &[u8]) -> Option<ValueTag> {
    let text = str::from_utf8(opaque).ok().filter(|text| text.len() == 16)?;
    let number = u64::from_str_radix(text, 16).ok().filter(|number| format!("{number:016x}") == text)?;
    Some(ValueTag::from_number(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(fields: &[(&str, &[u8])]) -> Result<Vec<Condition>, Problem> {
        HttpRequest { method: "PUT", path: "/v1/topics/a", query: None, fields }.conditions()
    }

    #[test]
    fn fields_become_conditions_in_the_order_in_which_they_are_judged() {
        let tag = |number| ValueTag::from_number(number);
        assert_eq!(entity_tag(tag(0xab)), "\"00000000000000ab\"");
        let a = entity_tag(tag(1));
        let list = format!(" W/{a} ,, \"\",\"a, \\b\",{}", entity_tag(tag(u64::MAX)));
        let list = list.replace("a, ", "a,");
        for (fields, expected) in [
            (&[][..], vec![]),
            (&[("if-match", &b"*"[..])], vec![Condition::Present]),
            (&[("if-none-match", b"*")], vec![Condition::Absent]),
            (&[("if-match", a.as_bytes())], vec![Condition::OneOf(vec![tag(1)])]),
            (&[("if-match", list.as_bytes())], vec![Condition::OneOf(vec![tag(u64::MAX)])]),
            (&[("if-none-match", list.as_bytes())], vec![Condition::NoneOf(vec![tag(1), tag(u64::MAX)])]),
            (
                &[("if-none-match", b"\"x\""), ("if-match", a.as_bytes()), ("if-match", b"\"y\"")],
                vec![Condition::OneOf(vec![tag(1)]), Condition::NoneOf(vec![])],
            ),
            // Not the spelling of a tag here, though the same number.
            (&[("if-match", b"\"00000000000000AB\"")], vec![Condition::OneOf(vec![])]),
            (&[("if-match", b"\"+0000000000000ab\"")], vec![Condition::OneOf(vec![])]),
            (&[("if-match", b"")], vec![Condition::OneOf(vec![])]),
        ] {
            assert_eq!(conditions(fields), Ok(expected), "{fields:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for value in
            [&b"a"[..], b"\"a", b"a\"", b"w/\"a\"", b"W/ \"a\"", b"\"a\" \"b\"", b"*, \"a\"", b"\"a b\""]
        {
            assert_eq!(
                conditions(&[("if-match", value)]),
                Err(Problem::Field("if-match", LIST)),
                "{value:?}"
            );
        }
        let twice: &[(&str, &[u8])] = &[("if-none-match", b"*"), ("if-none-match", b"*")];
        assert_eq!(conditions(twice), Err(Problem::Field("if-none-match", LIST)));
    }
}
