//! Selectors by example, against a naive evaluator, and with whatever bytes.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use mynah_model::{Class, Properties, PropertyValue, TenantId, UserProperties, WallTime};
use proptest::prelude::*;

use super::*;
use crate::testing::message;

/// The properties of the messages of these tests, one byte each: which of them a message has is its native bytes.
fn property<'m>(which: u8) -> Option<(&'m str, PropertyValue<'m>)> {
    Some(match which {
        b'c' => ("color", PropertyValue::Text("red")),
        b'w' => ("weight", PropertyValue::Signed(2_500)),
        b'p' => ("price", PropertyValue::Float(9.5)),
        b't' => ("truth", PropertyValue::Bool(true)),
        b'n' => ("digits", PropertyValue::Text("42")),
        b'u' => ("huge", PropertyValue::Unsigned(u64::MAX)),
        b'b' => ("bytes", PropertyValue::Binary(b"x")),
        b'C' => ("color", PropertyValue::Text("blue")),
        b'h' => ("a-b", PropertyValue::Signed(1)),
        b'e' => ("nothing", PropertyValue::Null),
        _ => return None,
    })
}

fn properties(which: &[u8]) -> Properties<'_> {
    Properties {
        message_id: Some("m-1"),
        correlation: Some(b"c-1"),
        content_type: Some("text/plain"),
        created: Some(WallTime::from_unix_millis(1_000)),
        user: UserProperties::new(which, |rest| {
            let (first, after) = rest.split_first()?;
            *rest = after;
            property(*first)
        }),
        ..Properties::EMPTY
    }
}

fn selects(text: &str, which: &[u8]) -> bool {
    let selector = Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let message = message(TenantId::DEFAULT, "t", "", None);
    selector.selects(message.header(), &properties(which))
}

#[test]
fn conditions_select_messages() {
    let all = b"cwptnubChe";
    for (text, expected) in [
        ("color = 'red'", true),
        ("color = 'blue'", false), // the first of a repeated name
        ("color <> 'blue'", true),
        ("color < 'zzz'", false), // texts are in no order
        ("weight > 2000 AND price < 10", true),
        ("weight > 2000 and not price < 10", false),
        ("weight = 2500.0", true),
        ("weight BETWEEN 2500 AND 2600", true),
        ("weight NOT BETWEEN 2500 AND 2600", false),
        ("weight between 1 and 5 or truth", true),
        ("truth = TRUE", true),
        ("truth <> 1", false), // kinds that do not compare
        ("truth", true),
        ("NOT truth", false),
        ("missing = 1", false),
        ("NOT (missing = 1)", false), // unknown stays unknown
        ("missing IS NULL", true),
        ("missing IS NOT NULL", false),
        ("nothing IS NULL", true),
        ("bytes IS NULL", false),
        ("color IN ('green', 'red')", true),
        ("color NOT IN ('green', 'red')", false),
        ("missing NOT IN ('green')", false),
        ("color IN (missing, 'red')", true),
        ("color IN (missing, 'green')", false),
        ("color LIKE 'r_d'", true),
        ("color LIKE '%e%'", true),
        ("color NOT LIKE 'r%'", false),
        ("color LIKE 'r\\_d' ESCAPE '\\'", false),
        ("missing LIKE '%'", false),
        ("2 + 3 * 4 = 14 AND (2 + 3) * 4 = 20 AND 7 / 2 = 3 AND 7 / 2. = 3.5 AND -2 - -3 = +1", true),
        ("1 / 0 = 1 OR NOT 1 / 0 = 1", false),
        ("9223372036854775807 + 1 > 9223372036854775807", false), // both the same float
        ("huge > 1e18 AND huge > 0", true),
        ("0x10 = 16 AND 010 = 8 AND 5L = 5 AND 1.5f = 1.5 AND 2d = 2 AND .5 = 0.5", true),
        ("'it''s' = 'it''s'", true),
        ("digits > 5", false),
        ("convert_string_expressions:digits > 5 AND digits + 1 = 43 AND digits = '42'", true),
        ("convert_string_expressions:color > 5", false),
        ("hyphenated_props:a-b = 1", true),
        ("\"a-b\" = 1", true),
        ("JMSPriority = 4 AND JMSDeliveryMode = 'PERSISTENT' AND JMSMessageID = 'm-1'", true),
        ("JMSCorrelationID = 'c-1' AND JMSTimestamp = 1000 AND JMSType = 'text/plain'", true),
        ("TRUE OR missing = 1", true),
        ("missing = 1 OR TRUE", true),
        ("FALSE AND missing = 1 OR missing = 1", false),
        ("NULL IS NULL", true),
    ] {
        assert_eq!(selects(text, all), expected, "{text}");
    }
    assert!(!selects("color = 'red'", b"") && !selects("color <> 'red'", b""));
}

#[test]
fn what_is_not_a_selector_says_where_and_why() {
    let deep = format!("{}TRUE{}", "(".repeat(70), ")".repeat(70));
    let long = format!("a = '{}'", "x".repeat(SELECTOR_BYTES_MAX));
    for (text, at) in [
        ("", 0),
        ("a = ", 4),
        ("a == 1", 3),
        ("a = 'x", 6),
        ("5", 0),
        ("a + 1", 0),
        ("'text'", 0),
        ("a = 1 AND 'text'", 10),
        ("a = 1 OR 2", 9),
        ("NOT 5", 4),
        ("a BETWEEN 1", 11),
        ("a IN ()", 6),
        ("a IN (1", 7),
        ("a LIKE b", 7),
        ("a LIKE 'x' ESCAPE 'yy'", 18),
        ("a IS 5", 5),
        ("a NOT 5", 6),
        ("(a = 1", 6),
        ("a = 1)", 5),
        ("a = 99999999999999999999", 4),
        ("a = 1x", 5),
        ("a = 08", 4),
        ("a ? b", 2),
        ("a = \"\"", 4),
        ("convert_string_expressions:a = ", 31),
        (&deep, 65),
        (&long, SELECTOR_BYTES_MAX),
    ] {
        let error = Selector::parse(text).expect_err(text);
        assert_eq!(error.at, at, "{text}: {error}");
    }
    assert_eq!(
        format!("{}", Selector::parse("a LIKE b").unwrap_err()),
        "at byte 7: expected a text in single quotes"
    );
}

#[test]
fn the_class_is_the_delivery_mode() {
    let message = message(TenantId::DEFAULT, "t", "", None);
    let header = Header { class: Class::AtMostOnce, ..*message.header() };
    let selector = Selector::parse("JMSDeliveryMode = 'NON_PERSISTENT'").unwrap();
    assert!(selector.selects(&header, &Properties::EMPTY));
}

/// A condition as the tests write it down, and what it says of a message by the book.
#[derive(Clone, Debug)]
enum Naive {
    Bool(bool),
    Unknown,
    Number(&'static str, i64, fn(i64, i64) -> bool, &'static str),
    Not(Box<Self>),
    And(Box<[Self; 2]>),
    Or(Box<[Self; 2]>),
}

impl Naive {
    fn text(&self) -> String {
        match self {
            Self::Bool(value) => format!("{value}"),
            Self::Unknown => "missing = 1".into(),
            Self::Number(name, number, _, sign) => format!("{name} {sign} {number}"),
            Self::Not(inner) => format!("NOT ({})", inner.text()),
            Self::And(both) => format!("({}) AND ({})", both[0].text(), both[1].text()),
            Self::Or(both) => format!("({}) OR ({})", both[0].text(), both[1].text()),
        }
    }

    /// The table of SQL: 0 is false, 1 is unknown, 2 is true; AND is the least, OR the greatest.
    fn truth(&self, weight: Option<i64>) -> u8 {
        match self {
            Self::Bool(value) => {
                if *value {
                    2
                } else {
                    0
                }
            }
            Self::Unknown => 1,
            Self::Number(_, number, compare, _) => match weight {
                None => 1,
                Some(weight) => {
                    if compare(weight, *number) {
                        2
                    } else {
                        0
                    }
                }
            },
            Self::Not(inner) => 2 - inner.truth(weight),
            Self::And(both) => both[0].truth(weight).min(both[1].truth(weight)),
            Self::Or(both) => both[0].truth(weight).max(both[1].truth(weight)),
        }
    }
}

fn naive() -> impl Strategy<Value = Naive> {
    type Sign = (&'static str, fn(i64, i64) -> bool);
    const SIGNS: [Sign; 6] = [
        ("=", |a, b| a == b),
        ("<>", |a, b| a != b),
        ("<", |a, b| a < b),
        ("<=", |a, b| a <= b),
        (">", |a, b| a > b),
        (">=", |a, b| a >= b),
    ];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Naive::Bool),
        Just(Naive::Unknown),
        (0..6_usize, 2_498..2_503_i64).prop_map(|(at, number)| Naive::Number(
            "weight",
            number,
            SIGNS[at].1,
            SIGNS[at].0
        )),
    ];
    leaf.prop_recursive(5, 32, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            inner.prop_map(|one| Naive::Not(one.into())),
            pair.clone().prop_map(|(a, b)| Naive::And([a, b].into())),
            pair.prop_map(|(a, b)| Naive::Or([a, b].into())),
        ]
    })
}

/// `LIKE` by definition: try every length for each `%`.
fn is_like(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('%', after)) => (0..=text.len()).any(|skip| is_like(after, &text[skip..])),
        Some(('_', after)) => !text.is_empty() && is_like(after, &text[1..]),
        Some((c, after)) => text.first() == Some(c) && is_like(after, &text[1..]),
    }
}

proptest! {
    #[test]
    fn three_valued_logic_is_that_of_sql(naive in naive(), has_weight: bool) {
        let (which, weight) = if has_weight { (&b"w"[..], Some(2_500)) } else { (&b""[..], None) };
        prop_assert_eq!(selects(&naive.text(), which), naive.truth(weight) == 2, "{}", naive.text());
    }

    #[test]
    fn like_is_what_it_is_by_definition(pattern in "[ab%_]{0,8}", text in "[ab]{0,8}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(Pattern::new(&pattern, None).matches(&text), is_like(&chars(&pattern), &chars(&text)));
    }

    #[test]
    fn no_text_is_too_strange_to_be_refused(text in "[ -~éa-c0-9'()<>=.eExX+*/-]{0,60}") {
        match Selector::parse(&text) {
            Ok(selector) => {
                let message = message(TenantId::DEFAULT, "t", "", None);
                let _ = selector.selects(message.header(), &properties(b"cwptn"));
            }
            Err(error) => prop_assert!(error.at <= text.len(), "{}", error),
        }
    }
}
