//! Which tokens are taken: by whom, for whom, signed how, and which claims say what.

use std::time::Duration;

use mynah_model::{Identity, TenantId, WallTime};

use super::claims::Claims;
use super::jws::Jws;
use super::{Algorithm, KeySet, Secret, TokenError};
use crate::grant::Grant;

/// The most that clocks may differ.
pub const LEEWAY_MAX: Duration = Duration::from_secs(300);

/// What a token has to be, and how it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How it may be signed. A token by another algorithm is refused whatever it says.
    pub algorithms: Vec<Algorithm>,
    /// Its `iss`.
    pub issuer: Box<str>,
    /// One of these has to be in its `aud`.
    pub audience: Vec<Box<str>>,
    /// How far the clocks of issuer and broker may differ; at most [`LEEWAY_MAX`].
    pub leeway: Duration,
    /// The claim that says who the bearer is.
    pub identity_claim: Box<str>,
    /// The claim that says which groups it is in.
    pub groups_claim: Box<str>,
    /// The claim that says which tenant it belongs to; without, that of the listener.
    pub tenant_claim: Option<Box<str>>,
    /// The claim that says what it may do.
    pub rights_claim: Option<Box<str>>,
    /// Whether a user name that comes with the token has to be the identity.
    pub user_must_match: bool,
}

impl Policy {
    /// What the token says of its bearer, who named itself `user`, at the time `now`.
    ///
    /// # Errors
    /// Why the token is not taken. That is for the log, not for the bearer.
    pub fn verify(
        &self,
        token: &str,
        user: Option<&str>,
        keys: &KeySet,
        secret: Option<&Secret>,
        (tenant, now): (TenantId, WallTime),
    ) -> Result<Grant, TokenError> {
        let jws = Jws::parse(token)?;
        if !self.algorithms.contains(&jws.algorithm) {
            return Err(TokenError::Algorithm);
        }
        match jws.algorithm {
            Algorithm::Hs256 => {
                let secret = secret.ok_or(TokenError::UnknownKey)?;
                if !secret.verifies(jws.signed, &jws.signature) {
                    return Err(TokenError::Signature);
                }
            }
            algorithm => keys.verify(jws.key_id.as_deref(), algorithm, jws.signed, &jws.signature)?,
        }
        let grant = self.grant(&Claims(jws.claims()?), tenant, now)?;
        let is_users = user.filter(|_| self.user_must_match).is_none_or(|user| user == grant.identity.name());
        if is_users { Ok(grant) } else { Err(TokenError::User) }
    }

    fn grant(&self, claims: &Claims, tenant: TenantId, now: WallTime) -> Result<Grant, TokenError> {
        let (now, leeway) = (now.as_unix_millis(), u64::try_from(self.leeway.as_millis()).unwrap_or(0));
        let end = claims.time("exp")?.ok_or(TokenError::Expired)?.as_unix_millis().saturating_add(leeway);
        if now >= end {
            return Err(TokenError::Expired);
        }
        let begins_later = |begin: WallTime| begin.as_unix_millis() > now.saturating_add(leeway);
        if claims.time("nbf")?.is_some_and(begins_later) {
            return Err(TokenError::NotYetValid);
        }
        if claims.text("iss") != Some(&*self.issuer) {
            return Err(TokenError::Issuer);
        }
        if !claims.is_for(&self.audience) {
            return Err(TokenError::Audience);
        }
        let tenant = match &self.tenant_claim {
            Some(claim) => claims.tenant(claim).ok_or(TokenError::Claim)?,
            None => tenant,
        };
        let name = claims.name(&self.identity_claim).ok_or(TokenError::Claim)?;
        Ok(Grant {
            identity: Identity::user(tenant, name),
            groups: claims.groups(&self.groups_claim)?,
            rights: self.rights_claim.as_deref().map(|claim| claims.rights(claim)).transpose()?,
            valid_until: Some(WallTime::from_unix_millis(end)),
        })
    }
}
