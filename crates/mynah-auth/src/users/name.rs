//! Names of users: how they are compared, and when two of them would be one to another protocol.

use std::borrow::Cow;

use stringprep::{nodeprep, saslprep};

/// A name or a password as SASL compares it (SASLprep, RFC 4013). None if it has what no protocol may carry.
pub(crate) fn prepared(text: &str) -> Option<Cow<'_, str>> {
    saslprep(text).ok().filter(|text| !text.is_empty())
}

/// The bytes that are hashed for a password. What SASLprep does not take is left as it is: it is nobody's password that was
/// set here, but may be one of another broker.
pub(crate) fn password_bytes(password: &[u8]) -> Cow<'_, [u8]> {
    match str::from_utf8(password).ok().and_then(prepared) {
        Some(Cow::Owned(prepared)) => Cow::Owned(prepared.into_bytes()),
        Some(Cow::Borrowed(_)) | None => Cow::Borrowed(password),
    }
}

/// The localpart of a user's JID: the name escaped (XEP-0106) and folded (Nodeprep, RFC 3920, appendix A). None if it
/// cannot be one.
pub(crate) fn folded(name: &str) -> Option<String> {
    let mut escaped = String::with_capacity(name.len());
    for (at, character) in name.char_indices() {
        match character {
            ' ' | '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@' => {
                escaped.push_str(&format!("\\{:02x}", u32::from(character)));
            }
            '\\' if is_escape(&name[at + 1..]) => escaped.push_str("\\5c"),
            _ => escaped.push(character),
        }
    }
    nodeprep(&escaped).ok().filter(|name| !name.is_empty()).map(Cow::into_owned)
}

/// Whether a backslash before these characters would be read as an escape.
fn is_escape(rest: &str) -> bool {
    let codes = ["20", "22", "26", "27", "2f", "3a", "3c", "3e", "40", "5c"];
    rest.get(..2).is_some_and(|code| codes.contains(&code.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_rfc_4013_says() {
        // The examples of RFC 4013, section 3.
        assert_eq!(prepared("I\u{AD}X").as_deref(), Some("IX"));
        assert_eq!(prepared("user").as_deref(), Some("user"));
        assert_eq!(prepared("USER").as_deref(), Some("USER"));
        assert_eq!(prepared("\u{AA}").as_deref(), Some("a"));
        assert_eq!(prepared("\u{2168}").as_deref(), Some("IX"));
        assert_eq!(prepared("\u{7}"), None);
        assert_eq!(prepared("\u{627}\u{31}"), None);
        assert_eq!(prepared(""), None);
        assert_eq!(*password_bytes("\u{2168}".as_bytes()), *b"IX");
        assert_eq!(*password_bytes(b"\xFF\x00"), *b"\xFF\x00");
    }

    #[test]
    fn names_fold_as_jids_do() {
        for (name, jid) in [
            ("Ada", "ada"),
            ("ada lovelace", "ada\\20lovelace"),
            ("Ada@Example", "ada\\40example"),
            ("c:\\net", "c\\3a\\net"),
            ("a\\20b", "a\\5c20b"),
            ("a\\5Cb", "a\\5c5cb"),
            ("STRASSE", "strasse"),
            ("straße", "strasse"),
            ("\u{212A}", "k"),
        ] {
            assert_eq!(folded(name).as_deref(), Some(jid), "{name}");
        }
        assert_eq!(folded("\u{7}"), None);
    }
}
