//! Citations in the sources: `//= NAME [ID]`, with further ids in brackets behind it, inside a test or directly above
//! it.

use std::path::{Path, PathBuf};

use crate::tidy::Finding;
use crate::tidy::scan::{Function, code_of, functions};

const MARK: &str = "//= ";

/// A test says that it holds a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Citation {
    pub(crate) specification: String,
    pub(crate) id: String,
    pub(crate) file: PathBuf,
    /// Counted from 1.
    pub(crate) line: usize,
    /// The name of the test.
    pub(crate) test: String,
}

/// The citations of a source, and those that are none.
pub(super) fn read_source(file: &Path, text: &str) -> (Vec<Citation>, Vec<Finding>) {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let (mut found, mut findings) = (Vec::new(), Vec::new());
    if !lines.iter().any(|line| line.starts_with(MARK)) {
        return (found, findings);
    }
    let functions = functions(&code_of(text));
    for (at, line) in lines.iter().enumerate() {
        let Some(citation) = line.strip_prefix(MARK) else { continue };
        let wrong = |message: &str| Finding::new(file, at + 1, message);
        let Some((specification, ids)) = parse(citation) else {
            findings.push(wrong(
                "a citation is `//= NAME [ID]`, with more ids in brackets behind it if there are any",
            ));
            continue;
        };
        let Some(test) = test_of(at + 1, &lines, &functions) else {
            findings.push(wrong("a citation stands in a test or directly above it"));
            continue;
        };
        found.extend(ids.into_iter().map(|id| Citation {
            specification: specification.to_owned(),
            id: id.to_owned(),
            file: file.to_owned(),
            line: at + 1,
            test: test.to_owned(),
        }));
    }
    (found, findings)
}

fn parse(citation: &str) -> Option<(&str, Vec<&str>)> {
    let (name, ids) = citation.split_once(' ')?;
    let ids: Vec<&str> = ids.split(' ').map(in_brackets).collect::<Option<_>>()?;
    (!name.is_empty()).then_some((name, ids))
}

fn in_brackets(word: &str) -> Option<&str> {
    word.strip_prefix('[')?.strip_suffix(']').filter(|id| !id.is_empty())
}

/// The test that a citation on this line belongs to.
fn test_of<'f>(line: usize, lines: &[&str], functions: &'f [Function]) -> Option<&'f str> {
    let inside = functions.iter().rfind(|function| (function.first..=function.last).contains(&line));
    let cited = inside.filter(|function| is_test(function, lines)).or_else(|| {
        // Lines are counted from 1: this is the line behind the citation.
        let next = (line..lines.len()).find(|&at| !belongs_to_head(lines[at]))? + 1;
        functions.iter().find(|function| function.first == next).filter(|function| is_test(function, lines))
    })?;
    Some(&cited.name)
}

/// Whether an attribute above the function says that it is a test.
fn is_test(function: &Function, lines: &[&str]) -> bool {
    let head = lines[..function.first - 1].iter().rev().take_while(|line| belongs_to_head(line));
    head.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}

/// Whether a line may stand between the head of a function and its name: comments and attributes.
fn belongs_to_head(line: &str) -> bool {
    line.starts_with("//") || line.starts_with("#[")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cited(text: &str) -> (Vec<(String, usize, String)>, usize) {
        let (citations, findings) = read_source(Path::new("a.rs"), text);
        (citations.into_iter().map(|c| (c.id, c.line, c.test)).collect(), findings.len())
    }

    fn expected(rows: &[(&str, usize, &str)]) -> Vec<(String, usize, String)> {
        rows.iter().map(|&(id, line, test)| (id.to_owned(), line, test.to_owned())).collect()
    }

    #[test]
    fn a_citation_belongs_to_the_test_around_it_or_below_it() {
        let text = [
            "//= x [A-1] [A-2]",
            "/// What it shows.",
            "#[test]",
            "fn above() {",
            "    work();",
            "}",
            "#[test]",
            "//= x [A-3]",
            "fn between() {",
            "    //= x [A-4]",
            "    let inner = || 1;",
            "}",
        ];
        let rows = [("A-1", 1, "above"), ("A-2", 1, "above"), ("A-3", 8, "between"), ("A-4", 10, "between")];
        assert_eq!(cited(&text.join("\n")), (expected(&rows), 0));
    }

    #[test]
    fn a_test_inside_a_macro_or_a_module_counts() {
        let text = "mod tests {\n    proptest! {\n        //= x [A-1]\n        #[test]\n        fn p(a in 0..2) {\n\
                    assert!(a < 2);\n        }\n    }\n}\n";
        assert_eq!(cited(text), (expected(&[("A-1", 3, "p")]), 0));
    }

    #[test]
    fn what_no_test_follows_is_a_finding() {
        for text in [
            "//= x [A-1]\nfn not_a_test() {}\n",
            "//= x [A-1]\n\n#[test]\nfn too_far() {}\n",
            "//= x [A-1]\nconst C: u8 = 1;\n",
            "fn not_a_test() {\n//= x [A-1]\n}\n",
            "//= x [A-1]",
        ] {
            assert_eq!(cited(text), (Vec::new(), 1), "{text}");
        }
    }

    #[test]
    fn what_is_not_written_as_a_citation_is_a_finding() {
        for citation in ["x", "x A-1", "x []", "x [A-1], [A-2]", " [A-1]", "x [A-1] because"] {
            let text = format!("//= {citation}\n#[test]\nfn t() {{}}\n");
            assert_eq!(cited(&text), (Vec::new(), 1), "{citation}");
        }
        assert_eq!(cited("let s = \"//= x\";\n"), (Vec::new(), 0));
    }
}
