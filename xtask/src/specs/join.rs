//! Statements, the tests that cite them, and the reasons of those without: one row each, and what does not fit together.

use std::collections::{HashMap, HashSet};

use super::citations::Citation;
use super::register::{Specification, Statement};
use crate::tidy::Finding;

/// The statements of a specification with what is known of each.
pub(crate) struct Joined<'s> {
    pub(crate) rows: Vec<Row<'s>>,
    pub(crate) findings: Vec<Finding>,
}

pub(crate) struct Row<'s> {
    pub(crate) statement: &'s Statement,
    /// In the order of files and lines.
    pub(crate) tests: Vec<&'s Citation>,
    /// Why there is no test.
    pub(crate) reason: Option<&'s str>,
}

/// Joins a specification with the citations that name it.
pub(super) fn join<'s>(specification: &'s Specification, citations: &'s [Citation]) -> Joined<'s> {
    let mut findings = Vec::new();
    let mut tests: HashMap<&str, Vec<&Citation>> = HashMap::new();
    for citation in citations.iter().filter(|c| c.specification == specification.name) {
        if specification.register.statements.iter().all(|s| s.id != citation.id) {
            let message = format!("{} has no statement {}", specification.name, citation.id);
            findings.push(Finding::new(&citation.file, citation.line, message));
        }
        let tests = tests.entry(&citation.id).or_default();
        if tests.iter().all(|test| (&test.file, &test.test) != (&citation.file, &citation.test)) {
            tests.push(citation);
        }
    }
    findings.extend(check_register(specification));
    findings.extend(check_exceptions(specification, &tests));
    let mut rows = Vec::new();
    for statement in &specification.register.statements {
        let tests = tests.remove(statement.id.as_str()).unwrap_or_default();
        let exception = specification.exceptions.iter().find(|exception| exception.id == statement.id);
        let reason = exception.map(|exception| exception.reason.as_str());
        let is_demanded = statement.is_demanded(specification.register.demanded);
        if is_demanded && tests.is_empty() && reason.is_none() {
            let message =
                format!("{} is held by no test: cite it in one, or say why there is none", statement.id);
            findings.push(Finding::new(&specification.register_file(), 1, message));
        }
        rows.push(Row { statement, tests, reason });
    }
    Joined { rows, findings }
}

fn check_register(specification: &Specification) -> Vec<Finding> {
    let (file, register) = (specification.register_file(), &specification.register);
    let mut findings = Vec::new();
    let mut seen = HashSet::new();
    for statement in register.statements.iter().filter(|statement| !seen.insert(&statement.id)) {
        findings.push(Finding::new(&file, 1, format!("{} stands there twice", statement.id)));
    }
    if register.statements.len() != register.count {
        let message =
            format!("{} statements, the specification has {}", register.statements.len(), register.count);
        findings.push(Finding::new(&file, 1, message));
    }
    findings
}

fn check_exceptions(specification: &Specification, tests: &HashMap<&str, Vec<&Citation>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = HashSet::new();
    for exception in &specification.exceptions {
        let message = if specification.register.statements.iter().all(|s| s.id != exception.id) {
            format!("{} has no statement {}", specification.name, exception.id)
        } else if !seen.insert(&exception.id) {
            format!("{} stands there twice", exception.id)
        } else if tests.contains_key(exception.id.as_str()) {
            format!("{} is cited by a test: remove the exception", exception.id)
        } else if exception.reason.trim().is_empty() {
            format!("{} has no reason", exception.id)
        } else {
            continue;
        };
        findings.push(Finding::new(&specification.exceptions_file(), 1, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::register::{Applies, Demanded, Exception, Level, Register};
    use super::*;

    fn specification(statements: &[(&str, Level)], exceptions: &[(&str, &str)]) -> Specification {
        let statement = |&(id, level): &(&str, Level)| Statement {
            id: id.to_owned(),
            level,
            applies: Applies::Both,
            paraphrase: String::new(),
        };
        let exception =
            |&(id, reason): &(&str, &str)| Exception { id: id.to_owned(), reason: reason.to_owned() };
        let register = Register {
            title: String::new(),
            edition: String::new(),
            source: String::new(),
            count: statements.len(),
            demanded: Demanded::All,
            statements: statements.iter().map(statement).collect(),
        };
        let exceptions = exceptions.iter().map(exception).collect();
        Specification { name: "x".to_owned(), register, exceptions }
    }

    fn citation(id: &str, line: usize, test: &str) -> Citation {
        let file = "a.rs".into();
        Citation { specification: "x".to_owned(), id: id.to_owned(), file, line, test: test.to_owned() }
    }

    fn findings(specification: &Specification, citations: &[Citation]) -> Vec<String> {
        join(specification, citations).findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_statement_gets_its_tests_or_its_reason() {
        let specification = specification(
            &[("A", Level::Must), ("B", Level::MustNot), ("C", Level::May)],
            &[("B", "no server")],
        );
        let citations = [citation("A", 1, "t"), citation("A", 3, "t"), citation("A", 9, "u")];
        let joined = join(&specification, &citations);
        let rows: Vec<_> = joined.rows.iter().map(|row| (row.tests.len(), row.reason)).collect();
        assert_eq!(rows, [(2, None), (0, Some("no server")), (0, None)]);
        assert!(joined.findings.is_empty());
    }

    #[test]
    fn a_binding_statement_needs_a_test_or_a_reason() {
        let specification = specification(
            &[("A", Level::Must), ("B", Level::MustNot), ("C", Level::Should), ("D", Level::May)],
            &[],
        );
        let message =
            |id| format!("specs/x.toml:1: {id} is held by no test: cite it in one, or say why there is none");
        assert_eq!(findings(&specification, &[]), [message("A"), message("B")]);
    }

    #[test]
    fn how_much_is_demanded_is_a_setting() {
        let mut specification =
            specification(&[("A", Level::Must), ("B", Level::MustNot), ("C", Level::Must)], &[]);
        specification.register.statements[0].applies = Applies::Server;
        specification.register.statements[1].applies = Applies::Client;
        for (demanded, count) in [(Demanded::None, 0), (Demanded::Server, 2), (Demanded::All, 3)] {
            specification.register.demanded = demanded;
            assert_eq!(findings(&specification, &[]).len(), count, "{demanded:?}");
        }
    }

    #[test]
    fn a_citation_of_another_specification_changes_nothing_and_an_unknown_id_is_a_finding() {
        let specification = specification(&[("A", Level::May)], &[]);
        let other = Citation { specification: "y".to_owned(), ..citation("Z", 1, "t") };
        assert_eq!(findings(&specification, &[other]), [""; 0]);
        assert_eq!(findings(&specification, &[citation("Z", 4, "t")]), ["a.rs:4: x has no statement Z"]);
    }

    #[test]
    fn exceptions_fit_what_is_there() {
        let statements = [("A", Level::Must), ("B", Level::Must), ("C", Level::Must)];
        let exceptions = [("A", "cited"), ("B", " "), ("C", "fine"), ("C", "again"), ("Z", "unknown")];
        let specification = specification(&statements, &exceptions);
        let place = "specs/exceptions/x.toml:1: ";
        let expected = [
            "A is cited by a test: remove the exception",
            "B has no reason",
            "C stands there twice",
            "x has no statement Z",
        ];
        assert_eq!(
            findings(&specification, &[citation("A", 1, "t")]),
            expected.map(|e| format!("{place}{e}"))
        );
    }

    #[test]
    fn a_register_is_complete_and_has_each_id_once() {
        let mut specification = specification(&[("A", Level::May), ("A", Level::May)], &[]);
        specification.register.count = 3;
        assert_eq!(
            findings(&specification, &[]),
            ["specs/x.toml:1: A stands there twice", "specs/x.toml:1: 2 statements, the specification has 3"]
        );
    }
}
