//! What a selector says of a message: true, false, or neither (SQL's three-valued logic).

use core::cmp::Ordering;

use mynah_model::{Header, PRIORITY_DEFAULT, Properties, PropertyValue};

use super::{Comparison, Expression, Name, Operator};

/// The message that is asked about.
pub(super) struct Subject<'a> {
    pub(super) header: &'a Header,
    pub(super) properties: &'a Properties<'a>,
    /// Whether texts that are numbers compare with numbers.
    pub(super) converts: bool,
}

/// A value; what cannot be compared with anything is null.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(&'a str),
}

/// Whether a condition holds; none if that is unknown.
pub(super) fn condition(expression: &Expression, subject: &Subject<'_>) -> Option<bool> {
    match expression {
        Expression::Not(inner) => condition(inner, subject).map(|holds| !holds),
        Expression::And(both) => {
            let left = condition(&both[0], subject);
            if left == Some(false) {
                return left;
            }
            match condition(&both[1], subject) {
                Some(true) => left,
                other => other,
            }
        }
        Expression::Or(either) => {
            let left = condition(&either[0], subject);
            if left == Some(true) {
                return left;
            }
            match condition(&either[1], subject) {
                Some(false) => left,
                other => other,
            }
        }
        Expression::Compare(comparison, sides) => {
            compare(*comparison, value(&sides[0], subject), value(&sides[1], subject), subject.converts)
        }
        Expression::Between(parts) => {
            let [middle, low, high] = [0, 1, 2].map(|at: usize| value(&parts[at], subject));
            let above = compare(Comparison::GreaterOrEqual, middle, low, subject.converts);
            let below = compare(Comparison::LessOrEqual, middle, high, subject.converts);
            both(above, below)
        }
        Expression::In(one, items) => is_among(value(one, subject), items, subject),
        Expression::Like(text, pattern) => match value(text, subject) {
            Value::Null => None,
            Value::Text(text) => Some(pattern.matches(text)),
            _ => Some(false),
        },
        Expression::IsNull(inner) => Some(is_null(inner, subject)),
        other => match value(other, subject) {
            Value::Bool(holds) => Some(holds),
            _ => None,
        },
    }
}

/// AND of two conditions that were both looked at.
fn both(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn is_among(one: Value<'_>, items: &[Expression], subject: &Subject<'_>) -> Option<bool> {
    let mut found = Some(false);
    for item in items {
        match compare(Comparison::Equal, one, value(item, subject), subject.converts) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => found = None,
        }
    }
    found
}

fn is_null(inner: &Expression, subject: &Subject<'_>) -> bool {
    match inner {
        // What is there is not null, even if nothing compares with it.
        Expression::Name(Name::Property(name)) => {
            subject.property(name).is_none_or(|value| matches!(value, PropertyValue::Null))
        }
        _ if matches!(value(inner, subject), Value::Null) => condition(inner, subject).is_none(),
        _ => false,
    }
}

fn value<'a>(expression: &'a Expression, subject: &Subject<'a>) -> Value<'a> {
    match expression {
        Expression::Bool(value) => Value::Bool(*value),
        Expression::Integer(number) => Value::Integer(*number),
        Expression::Float(number) => Value::Float(*number),
        Expression::Text(text) => Value::Text(text),
        Expression::Name(name) => subject.named(name),
        Expression::Negative(inner) => match subject.number(value(inner, subject)) {
            Value::Integer(number) => {
                number.checked_neg().map_or(Value::Float(-(number as f64)), Value::Integer)
            }
            Value::Float(number) => Value::Float(-number),
            _ => Value::Null,
        },
        Expression::Calculate(operator, sides) => {
            let [left, right] = [0, 1].map(|at: usize| subject.number(value(&sides[at], subject)));
            calculate(*operator, left, right)
        }
        Expression::Null => Value::Null,
        other => condition(other, subject).map_or(Value::Null, Value::Bool),
    }
}

/// Whole numbers as long as these can hold it. A whole number divided by zero is nothing.
fn calculate<'a>(operator: Operator, left: Value<'a>, right: Value<'a>) -> Value<'a> {
    if let (Value::Integer(a), Value::Integer(b)) = (left, right) {
        let whole = match operator {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            Operator::Divide if b == 0 => return Value::Null,
            Operator::Divide => a.checked_div(b),
        };
        if let Some(whole) = whole {
            return Value::Integer(whole);
        }
    }
    let (Some(a), Some(b)) = (left.as_float(), right.as_float()) else { return Value::Null };
    Value::Float(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
    })
}

/// Values of different kinds are never equal, greater or less: of such a comparison even "unequal" is false (section
/// 3.8.1.2).
fn compare(comparison: Comparison, left: Value<'_>, right: Value<'_>, converts: bool) -> Option<bool> {
    let order = match (left, right) {
        (Value::Null, _) | (_, Value::Null) => return None,
        (Value::Text(a), Value::Text(b)) => same_or_not(a == b),
        (Value::Bool(a), Value::Bool(b)) => same_or_not(a == b),
        (Value::Integer(a), Value::Integer(b)) => Some(a.cmp(&b)),
        (Value::Text(text), number) if converts && number.as_float().is_some() => {
            return compare(comparison, number_in(text), number, false).or(Some(false));
        }
        (number, Value::Text(text)) if converts && number.as_float().is_some() => {
            return compare(comparison, number, number_in(text), false).or(Some(false));
        }
        (a, b) => match (a.as_float(), b.as_float()) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => return Some(false),
        },
    };
    let is_ordered = left.as_float().is_some();
    Some(match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::Unequal => order != Some(Ordering::Equal),
        _ if !is_ordered => false,
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    })
}

/// Texts and truth values are the same or not, and in no order.
const fn same_or_not(same: bool) -> Option<Ordering> {
    if same { Some(Ordering::Equal) } else { None }
}

fn number_in(text: &str) -> Value<'static> {
    let text = text.trim();
    match text.parse() {
        Ok(number) => Value::Integer(number),
        Err(_) => text.parse().map_or(Value::Null, Value::Float),
    }
}

impl Value<'_> {
    const fn as_float(self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            Self::Null | Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

impl<'a> Subject<'a> {
    /// The first user property of a name.
    fn property(&self, name: &str) -> Option<PropertyValue<'a>> {
        self.properties.user.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn named(&self, name: &Name) -> Value<'a> {
        let text = |text: Option<&'a str>| text.map_or(Value::Null, Value::Text);
        match name {
            Name::Priority if self.header.priority == PRIORITY_DEFAULT => Value::Integer(4),
            Name::Priority => Value::Integer(i64::from(self.header.priority)),
            Name::DeliveryMode if self.header.class.is_confirmed() => Value::Text("PERSISTENT"),
            Name::DeliveryMode => Value::Text("NON_PERSISTENT"),
            Name::MessageId => text(self.properties.message_id),
            Name::Correlation => text(self.properties.correlation.and_then(|c| core::str::from_utf8(c).ok())),
            Name::Created => whole(self.properties.created.map(mynah_model::WallTime::as_unix_millis)),
            Name::ContentType => text(self.properties.content_type),
            Name::Property(name) => match self.property(name) {
                None | Some(PropertyValue::Null | PropertyValue::Binary(_) | PropertyValue::Compound(..)) => {
                    Value::Null
                }
                Some(PropertyValue::Bool(value)) => Value::Bool(value),
                Some(PropertyValue::Signed(number)) => Value::Integer(number),
                Some(PropertyValue::Unsigned(number)) => whole(Some(number)),
                Some(PropertyValue::Float(number)) => Value::Float(number),
                Some(PropertyValue::Time(time)) => whole(Some(time.as_unix_millis())),
                Some(PropertyValue::Text(text)) => Value::Text(text),
            },
        }
    }

    /// A value that is to be calculated with.
    fn number(&self, value: Value<'a>) -> Value<'a> {
        match value {
            Value::Text(text) if self.converts => number_in(text),
            other => other,
        }
    }
}

fn whole<'a>(number: Option<u64>) -> Value<'a> {
    let Some(number) = number else { return Value::Null };
    i64::try_from(number).map_or(Value::Float(number as f64), Value::Integer)
}
