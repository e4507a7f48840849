//! What a token claims, once its signature was found to be good.

use mynah_model::{TenantId, WallTime};
use serde_json::{Map, Value};

use super::TokenError;
use crate::grant::{GROUPS_MAX, TokenRights, is_name};

/// The claims of a token.
pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// The claim with this name, or, if there is none, the one that the name leads to with its dots as steps into
    /// objects, such as `realm_access.roles`.
    fn get(&self, name: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(name) {
            return Some(value);
        }
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(self.0.get(first)?, |value, step| value.get(step))
    }

    /// A time in seconds since 1970, fractions allowed (RFC 7519 section 2, NumericDate). None if there is no such
    /// claim.
    pub(super) fn time(&self, name: &str) -> Result<Option<WallTime>, TokenError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| (0.0..1e15).contains(seconds));
        let millis = seconds.ok_or(TokenError::Claim)? * 1_000.0;
        Ok(Some(WallTime::from_unix_millis(millis as u64)))
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A text that can be somebody's name.
    pub(super) fn name(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|text| is_name(text))
    }

    /// Whether `aud`, one text or several, has one of these (RFC 7519 section 4.1.3).
    pub(super) fn is_for(&self, audience: &[Box<str>]) -> bool {
        let is_one = |value: &Value| audience.iter().any(|one| value.as_str() == Some(one));
        match self.0.get("aud") {
            Some(Value::Array(all)) => all.iter().any(is_one),
            Some(value) => is_one(value),
            None => false,
        }
    }

    /// Names of groups: several, or one, or none if there is no such claim.
    pub(super) fn groups(&self, name: &str) -> Result<Vec<Box<str>>, TokenError> {
        let text = |value: &Value| match value.as_str() {
            Some(group) if is_name(group) => Ok(group.into()),
            _ => Err(TokenError::Claim),
        };
        match self.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(all)) if all.len() <= GROUPS_MAX => all.iter().map(text).collect(),
            Some(Value::Array(_)) => Err(TokenError::Claim),
            Some(one) => Ok(vec![text(one)?]),
        }
    }

    /// The number of a tenant, as a number or its digits.
    pub(super) fn tenant(&self, name: &str) -> Option<TenantId> {
        let number = match self.get(name)? {
            Value::String(digits) => digits.parse().ok()?,
            value => u16::try_from(value.as_u64()?).ok()?,
        };
        Some(TenantId::new(number))
    }

    /// An object with the lists `publish` and `subscribe`. What is not there is not permitted.
    pub(super) fn rights(&self, name: &str) -> Result<TokenRights, TokenError> {
        let Some(value) = self.get(name) else { return Ok(TokenRights::default()) };
        let object = value.as_object().ok_or(TokenError::Claim)?;
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(TokenError::Claim);
        let filters = |action: &str| match object.get(action) {
            None => Ok(Vec::new()),
            Some(Value::Array(all)) => all.iter().map(text).collect(),
            Some(_) => Err(TokenError::Claim),
        };
        Ok(TokenRights { publish: filters("publish")?, subscribe: filters("subscribe")? })
    }
}
