//! The grammar of selectors, by recursive descent. `OR` binds least, then `AND`, `NOT`, comparisons, `+` and `-`, `*` and
//! `/`, signs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::lexer::{Lexer, Token};
use super::like::Pattern;
use super::{Comparison, Expected, Expression, Name, Operator, Selector, SelectorError};

/// Parentheses, signs and negations that may lie inside each other.
const DEPTH_MAX: u32 = 64;

type Parsed = Result<Expression, SelectorError>;

pub(super) fn parse(text: &str) -> Result<Selector, SelectorError> {
    let (mut rest, mut converts, mut hyphens) = (text, false, false);
    loop {
        if let Some(after) = rest.strip_prefix("convert_string_expressions:") {
            (rest, converts) = (after, true);
        } else if let Some(after) = rest.strip_prefix("hyphenated_props:") {
            (rest, hyphens) = (after, true);
        } else {
            break;
        }
    }
    let skipped = text.len() - rest.len();
    let parsed = Parser::new(rest, hyphens).and_then(Parser::whole);
    let condition = parsed.map_err(|error| SelectorError { at: error.at + skipped, ..error })?;
    Ok(Selector { condition, converts })
}

struct Parser<'s> {
    lexer: Lexer<'s>,
    at: usize,
    token: Token<'s>,
    depth: u32,
}

impl<'s> Parser<'s> {
    fn new(text: &'s str, hyphens: bool) -> Result<Self, SelectorError> {
        let mut lexer = Lexer::new(text, hyphens);
        let (at, token) = lexer.next()?;
        Ok(Self { lexer, at, token, depth: 0 })
    }

    fn whole(mut self) -> Parsed {
        let condition = self.condition()?;
        if self.token == Token::End { Ok(condition) } else { Err(self.error(Expected::End)) }
    }

    const fn error(&self, expected: Expected) -> SelectorError {
        SelectorError { at: self.at, expected }
    }

    fn advance(&mut self) -> Result<Token<'s>, SelectorError> {
        let (at, token) = self.lexer.next()?;
        self.at = at;
        Ok(core::mem::replace(&mut self.token, token))
    }

    /// Takes a word or a sign, if it is the next.
    fn take(&mut self, word: &'static str) -> Result<bool, SelectorError> {
        let is_next = self.token == Token::Word(word);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn demand(&mut self, word: &'static str) -> Result<(), SelectorError> {
        if self.take(word)? { Ok(()) } else { Err(self.error(Expected::Word(word))) }
    }

    /// Something that is true or false.
    fn condition(&mut self) -> Parsed {
        let at = self.at;
        let expression = self.disjunction()?;
        if expression.is_condition() {
            Ok(expression)
        } else {
            Err(SelectorError { at, expected: Expected::Condition })
        }
    }

    /// What `inner` reads, one level deeper.
    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.depth == DEPTH_MAX {
            return Err(self.error(Expected::End));
        }
        self.depth += 1;
        let read = inner(self)?;
        self.depth -= 1;
        Ok(read)
    }

    fn disjunction(&mut self) -> Parsed {
        let mut at = self.at;
        let mut left = self.conjunction()?;
        while self.take("OR")? {
            let right_at = self.at;
            let right = self.conjunction()?;
            left = Expression::Or(Self::conditions((at, left), (right_at, right))?);
            at = right_at;
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Parsed {
        let mut at = self.at;
        let mut left = self.negation()?;
        while self.take("AND")? {
            let right_at = self.at;
            let right = self.negation()?;
            left = Expression::And(Self::conditions((at, left), (right_at, right))?);
            at = right_at;
        }
        Ok(left)
    }

    fn conditions(
        left: (usize, Expression),
        right: (usize, Expression),
    ) -> Result<Box<[Expression; 2]>, SelectorError> {
        for (at, expression) in [&left, &right] {
            if !expression.is_condition() {
                return Err(SelectorError { at: *at, expected: Expected::Condition });
            }
        }
        Ok(Box::new([left.1, right.1]))
    }

    fn negation(&mut self) -> Parsed {
        if !self.take("NOT")? {
            return self.comparison();
        }
        let at = self.at;
        let inner = self.deeper(Self::negation)?;
        if !inner.is_condition() {
            return Err(SelectorError { at, expected: Expected::Condition });
        }
        Ok(Expression::Not(Box::new(inner)))
    }

    fn comparison(&mut self) -> Parsed {
        let mut left = self.sum()?;
        loop {
            let comparison = match self.token {
                Token::Word("=") => Comparison::Equal,
                Token::Word("<>") => Comparison::Unequal,
                Token::Word("<") => Comparison::Less,
                Token::Word("<=") => Comparison::LessOrEqual,
                Token::Word(">") => Comparison::Greater,
                Token::Word(">=") => Comparison::GreaterOrEqual,
                Token::Word("IS") => {
                    left = self.is_null(left)?;
                    continue;
                }
                Token::Word("NOT" | "BETWEEN" | "IN" | "LIKE") => {
                    left = self.membership(left)?;
                    continue;
                }
                _ => return Ok(left),
            };
            self.advance()?;
            let right = self.sum()?;
            left = Expression::Compare(comparison, Box::new([left, right]));
        }
    }

    fn is_null(&mut self, value: Expression) -> Parsed {
        self.demand("IS")?;
        let negated = self.take("NOT")?;
        self.demand("NULL")?;
        Ok(negate_if(negated, Expression::IsNull(Box::new(value))))
    }

    fn membership(&mut self, value: Expression) -> Parsed {
        let negated = self.take("NOT")?;
        let value = Box::new(value);
        let found = if self.take("BETWEEN")? {
            let low = self.sum()?;
            self.demand("AND")?;
            Expression::Between(Box::new([*value, low, self.sum()?]))
        } else if self.take("IN")? {
            Expression::In(value, self.list()?)
        } else {
            self.demand("LIKE")?;
            Expression::Like(value, self.pattern()?)
        };
        Ok(negate_if(negated, found))
    }

    fn list(&mut self) -> Result<Vec<Expression>, SelectorError> {
        self.demand("(")?;
        let mut items = Vec::new();
        loop {
            items.push(self.sum()?);
            if !self.take(",")? {
                self.demand(")")?;
                return Ok(items);
            }
        }
    }

    fn pattern(&mut self) -> Result<Pattern, SelectorError> {
        let Token::Text(_) = self.token else { return Err(self.error(Expected::Text)) };
        let Token::Text(text) = self.advance()? else { return Err(self.error(Expected::Text)) };
        if !self.take("ESCAPE")? {
            return Ok(Pattern::new(&text, None));
        }
        let at = self.at;
        let escape = match self.advance()? {
            Token::Text(escape) => single(&escape),
            _ => None,
        };
        let escape = escape.ok_or(SelectorError { at, expected: Expected::Escape })?;
        Ok(Pattern::new(&text, Some(escape)))
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let operator = match self.token {
                Token::Word("+") => Operator::Add,
                Token::Word("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.advance()?;
            left = Expression::Calculate(operator, Box::new([left, self.product()?]));
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.signed()?;
        loop {
            let operator = match self.token {
                Token::Word("*") => Operator::Multiply,
                Token::Word("/") => Operator::Divide,
                _ => return Ok(left),
            };
            self.advance()?;
            left = Expression::Calculate(operator, Box::new([left, self.signed()?]));
        }
    }

    fn signed(&mut self) -> Parsed {
        if self.take("+")? {
            return self.deeper(Self::signed);
        }
        if self.take("-")? {
            return Ok(Expression::Negative(Box::new(self.deeper(Self::signed)?)));
        }
        self.operand()
    }

    fn operand(&mut self) -> Parsed {
        if let Token::Word(word) = self.token {
            let value = match word {
                "TRUE" => Expression::Bool(true),
                "FALSE" => Expression::Bool(false),
                "NULL" => Expression::Null,
                "(" => {
                    self.advance()?;
                    let inner = self.deeper(Self::disjunction)?;
                    self.demand(")")?;
                    return Ok(inner);
                }
                _ => return Err(self.error(Expected::Operand)),
            };
            self.advance()?;
            return Ok(value);
        }
        if self.token == Token::End {
            return Err(self.error(Expected::Operand));
        }
        Ok(match self.advance()? {
            Token::Name(name) => Expression::Name(Name::new(name)),
            Token::Text(text) => Expression::Text(text.into()),
            Token::Integer(number) => Expression::Integer(number),
            Token::Float(number) => Expression::Float(number),
            Token::Word(_) | Token::End => return Err(self.error(Expected::Operand)),
        })
    }
}

fn single(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

fn negate_if(negated: bool, expression: Expression) -> Expression {
    if negated { Expression::Not(Box::new(expression)) } else { expression }
}

impl Expression {
    /// Whether it can be true or false: a name may stand for a truth value.
    const fn is_condition(&self) -> bool {
        match self {
            Self::Bool(_)
            | Self::Name(_)
            | Self::Null
            | Self::Not(_)
            | Self::And(_)
            | Self::Or(_)
            | Self::Compare(..)
            | Self::Between(_)
            | Self::In(..)
            | Self::Like(..)
            | Self::IsNull(_) => true,
            Self::Integer(_) | Self::Float(_) | Self::Text(_) | Self::Negative(_) | Self::Calculate(..) => {
                false
            }
        }
    }
}

impl Name {
    fn new(name: &str) -> Self {
        match name {
            "JMSPriority" => Self::Priority,
            "JMSDeliveryMode" => Self::DeliveryMode,
            "JMSMessageID" => Self::MessageId,
            "JMSCorrelationID" => Self::Correlation,
            "JMSTimestamp" => Self::Created,
            "JMSType" => Self::ContentType,
            _ => Self::Property(name.into()),
        }
    }
}
