//! A glance at Rust source that knows just enough of the language: what is code and what is a comment or the inside of
//! a literal, and where a function begins and ends.

/// `source` with comments and the insides of literals blanked out. Lines stay where they are.
pub(crate) fn code_of(source: &str) -> String {
    let mut scanner = Scanner { rest: source, code: String::with_capacity(source.len()) };
    while scanner.step() {}
    scanner.code
}

struct Scanner<'s> {
    rest: &'s str,
    code: String,
}

impl Scanner<'_> {
    /// Takes one comment, literal or character. Says whether there may be more.
    fn step(&mut self) -> bool {
        let rest = self.rest;
        let Some(first) = rest.chars().next() else {
            return false;
        };
        if rest.starts_with("//") {
            self.blank(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.blank(block_comment_len(rest));
        } else if let Some(len) = self.raw_string_len() {
            self.blank(len);
        } else if first == '"' {
            self.blank(quoted_len(rest, '"'));
        } else if first == '\'' && is_char_literal(rest) {
            self.blank(quoted_len(rest, '\''));
        } else {
            self.code.push(first);
            self.rest = &rest[first.len_utf8()..];
        }
        true
    }

    /// The length of the raw string that starts here, if one does.
    fn raw_string_len(&self) -> Option<usize> {
        let inside_a_word = self.code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let after = self.rest.strip_prefix("br").or_else(|| self.rest.strip_prefix('r'))?;
        let hashes = after.len() - after.trim_start_matches('#').len();
        if inside_a_word || !after[hashes..].starts_with('"') {
            return None;
        }
        let start = self.rest.len() - after.len() + hashes + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        Some(self.rest[start..].find(&end).map_or(self.rest.len(), |at| start + at + end.len()))
    }

    /// Replaces the next `len` bytes by blanks.
    fn blank(&mut self, len: usize) {
        let (gone, rest) = self.rest.split_at(len);
        self.code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

fn block_comment_len(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of the literal that starts with `quote`, escapes taken into account.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + quote.len_utf8();
        }
    }
    text.len()
}

/// Tells `'a'` from the lifetime `'a`.
fn is_char_literal(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

/// Where `word` stands in a line of code, not as part of a longer name.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let name = |c: char| c.is_alphanumeric() || c == '_';
    let starts_with_name = word.starts_with(name);
    let ends_with_name = word.ends_with(name);
    line.match_indices(word).any(|(at, _)| {
        let before = starts_with_name && line[..at].ends_with(name);
        let after = ends_with_name && line[at + word.len()..].starts_with(name);
        !before && !after
    })
}

/// A function: its name, and its first and last line, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// The functions with a body in blanked-out `code`, those inside others included.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find("fn ").map(|at| at + from) {
        from = at + 3;
        let inside_a_word = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let name: String = code[from..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if inside_a_word || name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(&code[from..]) {
            let line = |at: usize| code[..at].matches('\n').count() + 1;
            found.push(Function { name, first: line(at), last: line(from + end) });
        }
    }
    found
}

/// Where the body of the function ends whose name starts `code`; none if it has no body. A `;` inside brackets is part
/// of an array type.
fn body_end(code: &str) -> Option<usize> {
    let mut braces = 0_usize;
    let mut brackets = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => braces += 1,
            '}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some(at);
                }
            }
            '[' | '(' => brackets += 1,
            ']' | ')' => brackets = brackets.saturating_sub(1),
            ';' if braces == 0 && brackets == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_stay() {
        let source = "let a = \"x{\\\"}\"; // {\nlet b = '{'; /* { /* { */\n*/ let c: &'a str = r#\"{\"#;";
        let code = code_of(source);
        assert_eq!(code.lines().count(), source.lines().count());
        assert!(!code.contains('{'), "{code}");
        assert!(code.contains("let c: &'a str ="), "{code}");
    }

    #[test]
    fn a_name_that_ends_in_r_starts_no_raw_string() {
        assert_eq!(code_of("bar\"x\""), "bar   ");
        assert_eq!(code_of("br\"x\\\" y"), "       y");
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("use rand::Rng;", "rand::"));
        assert!(!has_word("operand::new()", "rand::"));
        assert!(has_word("std::net::TcpStream", "std::net"));
        assert!(!has_word("std::network", "std::net"));
    }

    #[test]
    fn functions_are_found_with_their_lines() {
        let code = code_of(
            "trait T {\n fn a(&self) -> [u8; 2];\n fn b() {\n  if x { y }\n }\n}\nfn c(x: [u8; 3]) {}\n",
        );
        let function = |name: &str, first, last| Function { name: name.to_owned(), first, last };
        assert_eq!(functions(&code), [function("b", 3, 5), function("c", 7, 7)]);
    }

    #[test]
    fn a_function_type_is_no_function() {
        assert_eq!(functions("type F = fn (u8);\nlet x: fn(u8) = y;"), []);
    }
}
