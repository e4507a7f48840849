//! The table that people read: each statement with the tests that hold it, or why there is none.

use std::fmt::Write as _;

use super::join::{Joined, Row};
use super::register::Specification;

/// How many statements have a test, and how many a reason.
pub(super) fn summary(joined: &Joined<'_>) -> String {
    let count = |wanted: fn(&Row<'_>) -> bool| joined.rows.iter().filter(|row| wanted(row)).count();
    format!(
        "{} statements, {} cited by tests, {} with a reason why not, {} open; of the {} that bind a server, {} cited",
        joined.rows.len(),
        count(|row| !row.tests.is_empty()),
        count(|row| row.reason.is_some()),
        count(|row| row.tests.is_empty() && row.reason.is_none()),
        count(|row| row.statement.binds_servers()),
        count(|row| row.statement.binds_servers() && !row.tests.is_empty()),
    )
}

/// The page.
pub(super) fn render(specification: &Specification, joined: &Joined<'_>) -> String {
    let register = &specification.register;
    let mut page = format!(
        "# {title}\n\n\
         {edition}. Statements by {source}.\n\n\
         The words are ours; the specification's count. {summary}.\n\n\
         Made by `cargo xtask specs` from `{register}`, `{exceptions}` and the tests that say `//= {name} [ID]`; \
         not edited by hand.\n\n\
         | statement | level | applies to | what it demands | tests, or why there is none |\n\
         |---|---|---|---|---|\n",
        title = register.title,
        edition = register.edition,
        source = register.source,
        summary = summary(joined),
        register = specification.register_file().display(),
        exceptions = specification.exceptions_file().display(),
        name = specification.name,
    );
    for row in &joined.rows {
        let statement = row.statement;
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            statement.id,
            statement.level.shown(),
            statement.applies.shown(),
            cell(&statement.paraphrase),
            held_by(row),
        );
    }
    page
}

fn held_by(row: &Row<'_>) -> String {
    if row.tests.is_empty() {
        return row.reason.map(|reason| format!("none: {}", cell(reason))).unwrap_or_default();
    }
    let link =
        |citation: &&super::Citation| format!("[`{}`](../../{})", citation.test, citation.file.display());
    row.tests.iter().map(link).collect::<Vec<_>>().join(", ")
}

/// Text that does not end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::super::citations::Citation;
    use super::super::join::join;
    use super::super::register::{Applies, Demanded, Exception, Level, Register, Statement};
    use super::*;

    #[test]
    fn a_row_shows_tests_or_the_reason() {
        let statement = |id: &str, level, applies, paraphrase: &str| Statement {
            id: id.to_owned(),
            level,
            applies,
            paraphrase: paraphrase.to_owned(),
        };
        let register = Register {
            title: "X".to_owned(),
            edition: "First".to_owned(),
            source: "hand".to_owned(),
            count: 3,
            demanded: Demanded::All,
            statements: vec![
                statement("A-1", Level::Must, Applies::Server, "a | b"),
                statement("A-2", Level::MustNot, Applies::Client, "never"),
                statement("A-3", Level::May, Applies::Both, "perhaps"),
            ],
        };
        let exceptions = vec![Exception { id: "A-2".to_owned(), reason: "no client".to_owned() }];
        let specification = Specification { name: "x".to_owned(), register, exceptions };
        let citation = |line, test: &str| Citation {
            specification: "x".to_owned(),
            id: "A-1".to_owned(),
            file: "crates/a/b.rs".into(),
            line,
            test: test.to_owned(),
        };
        let citations = [citation(1, "t"), citation(9, "u")];
        let page = render(&specification, &join(&specification, &citations));
        for line in [
            "# X",
            "First. Statements by hand.",
            "The words are ours; the specification's count. \
             3 statements, 1 cited by tests, 1 with a reason why not, 1 open; \
             of the 1 that bind a server, 1 cited.",
            "| A-1 | must | server | a \\| b | [`t`](../../crates/a/b.rs), [`u`](../../crates/a/b.rs) |",
            "| A-2 | must not | client | never | none: no client |",
            "| A-3 | may | both | perhaps |  |",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }
}
