//! CoRE Link Format: writing links, reading them, and selecting among them (RFC 6690).

use alloc::string::String;
use core::fmt::Write;

/// One link: its target, and its attributes as they are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// The target, without its brackets.
    pub target: &'a str,
    /// What follows it, from the first `;` on.
    attributes: &'a str,
}

/// One attribute: its name, and its value without quotes; absent if it has none.
pub type Attribute<'a> = (&'a str, Option<&'a str>);

/// The bytes are not the link format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLinks;

impl<'a> Link<'a> {
    /// The attributes as they are spelled, each with its `;`.
    #[must_use]
    pub const fn spelled(self) -> &'a str {
        self.attributes
    }

    /// The attributes in their order.
    pub fn attributes(self) -> impl Iterator<Item = Attribute<'a>> {
        let mut rest = self.attributes;
        core::iter::from_fn(move || {
            rest = rest.strip_prefix(';')?;
            let end = end_of(rest, b';');
            let (attribute, after) = rest.split_at(end);
            rest = after;
            Some(match attribute.split_once('=') {
                Some((name, value)) => (name, Some(value.trim_matches('"'))),
                None => (attribute, None),
            })
        })
    }

    /// Whether a query of discovery selects it (section 4.1): `name=value`, where a `*` at the end of the value stands
    /// for anything, and `href` for the target. Attributes with several values have spaces between them.
    #[must_use]
    pub fn is_selected_by(self, query: &str) -> bool {
        let (name, wanted) = query.split_once('=').unwrap_or((query, "*"));
        let fits = |value: &str| match wanted.strip_suffix('*') {
            Some(start) => value.starts_with(start),
            None => value == wanted,
        };
        if name == "href" {
            return fits(self.target);
        }
        let is_list = matches!(name, "rt" | "if" | "rel" | "rev" | "ct");
        let mut values = self.attributes().filter(|(found, _)| *found == name).map(|(_, value)| value);
        values.any(|value| match value {
            None => wanted.is_empty() || wanted == "*",
            Some(value) => fits(value) || is_list && value.split(' ').any(fits),
        })
    }
}

/// The links of a document.
///
/// # Errors
/// One of them is not as section 2 has it; those before it have been handed out.
pub fn links(document: &str) -> impl Iterator<Item = Result<Link<'_>, NotLinks>> {
    let mut rest = document;
    let mut is_over = document.is_empty();
    core::iter::from_fn(move || {
        if is_over {
            return None;
        }
        match read(&mut rest) {
            Ok(link) => {
                is_over = rest.is_empty();
                if !is_over {
                    // A comma is all that a link may be followed by.
                    rest = &rest[1..];
                }
                Some(Ok(link))
            }
            Err(error) => {
                is_over = true;
                Some(Err(error))
            }
        }
    })
}

fn read<'a>(rest: &mut &'a str) -> Result<Link<'a>, NotLinks> {
    let after = rest.strip_prefix('<').ok_or(NotLinks)?;
    let (target, after) = after.split_once('>').ok_or(NotLinks)?;
    let end = end_of(after, b',');
    let (attributes, after) = after.split_at(end);
    let is_closed = attributes.bytes().filter(|byte| *byte == b'"').count() % 2 == 0;
    if !is_closed || !(attributes.is_empty() || attributes.starts_with(';')) || target.contains('<') {
        return Err(NotLinks);
    }
    let link = Link { target, attributes };
    // Quotes are about values; within a name they would hide where it ends.
    if link.attributes().any(|(name, _)| name.contains('"')) {
        return Err(NotLinks);
    }
    *rest = after;
    Ok(link)
}

/// Where the first `mark` outside quotes is; the length if there is none.
fn end_of(text: &str, mark: u8) -> usize {
    let mut in_quotes = false;
    let found = text.bytes().position(|byte| {
        in_quotes ^= byte == b'"';
        byte == mark && !in_quotes
    });
    found.unwrap_or(text.len())
}

/// Writes a document, link by link.
#[derive(Debug, Default)]
pub struct LinkWriter {
    document: String,
}

impl LinkWriter {
    /// Appends a link, with attributes as they are spelled, each with its `;`. Neither holds a bracket or line end.
    pub fn put(&mut self, target: &str, attributes: &str) {
        let comma = if self.document.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(self.document, "{comma}<{target}>{attributes}");
    }

    /// The document.
    #[must_use]
    pub fn finish(self) -> String {
        self.document
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const DOCUMENT: &str = "</sensors>;ct=40;title=\"Sensor, Index\",</sensors/temp>;rt=\"temperature-c outdoor\";if=\"sensor\";obs,</t>";

    //= rfc7252 [7.2-1]
    #[test]
    fn queries_select_as_rfc_6690_says() {
        let all: Vec<_> = links(DOCUMENT).collect::<Result<_, _>>().unwrap();
        let targets = |query: &str| -> Vec<&str> {
            all.iter().filter(|link| link.is_selected_by(query)).map(|link| link.target).collect()
        };
        assert_eq!(targets("href=/sensors"), ["/sensors"]);
        assert_eq!(targets("href=/sensors*"), ["/sensors", "/sensors/temp"]);
        assert_eq!(targets("rt=temperature-c"), ["/sensors/temp"]);
        assert_eq!(targets("rt=out*"), ["/sensors/temp"]);
        assert_eq!(targets("rt=temperature-c outdoor"), ["/sensors/temp"]);
        assert_eq!(targets("title=Sensor, Index"), ["/sensors"]);
        assert_eq!(targets("title=Index"), [""; 0]);
        assert_eq!(targets("obs"), ["/sensors/temp"]);
        assert_eq!(targets("ct=40"), ["/sensors"]);
        assert_eq!(targets("if=*"), ["/sensors/temp"]);
        assert_eq!(targets("rt=none"), [""; 0]);
    }

    #[test]
    fn what_is_no_link_is_refused() {
        for wrong in ["a", "<a", "<a>b", "<a>;b=\"", "<a>,", "<a>,b", "<a<b>", "<a>;b,,<c>", "<a>;b\"=c\""] {
            assert!(links(wrong).any(|link| link.is_err()), "{wrong}");
        }
        assert_eq!(links("").count(), 0);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut writer = LinkWriter::default();
        writer.put("/a", ";rt=\"x\"");
        writer.put("/b", "");
        assert_eq!(writer.finish(), "</a>;rt=\"x\",</b>");
    }

    proptest! {
        #[test]
        fn any_text_is_links_or_refused(text in "[<>;,=\"a/* ]{0,40}", query in "[a=*/]{0,6}") {
            for link in links(&text).flatten() {
                let _ = link.is_selected_by(&query);
                prop_assert!(link.attributes().count() <= text.len());
            }
        }
    }
}
