//! The HTTP hook: a program of the operator's is asked, by a POST of JSON, whether a peer is let in and who it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mynah_model::Identity;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::cache::Cache;
use super::exchange::{Client, ExchangeError};
use super::watch::Watch;
use super::{Certificate, Endpoint, EndpointError, EndpointSettings, Judgement, Login, Unavailable};
use crate::Grant;
use crate::grant::{GROUPS_MAX, is_name};

/// Bytes of the longest answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Where the hook is, and what it may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSettings {
    /// Where.
    pub endpoint: EndpointSettings,
    /// How long an answer may take, the wait for others included.
    pub timeout: Duration,
    /// Questions at a time; more wait.
    pub concurrency: usize,
    /// How long a good answer is kept that does not say so itself, and the most that it may ask for.
    pub cache: Duration,
    /// The same of an answer that lets nobody in.
    pub cache_denied: Duration,
    /// Answers that are kept.
    pub cache_entries_max: usize,
}

/// Asks the hook.
#[derive(Debug)]
pub struct Hook {
    client: Client,
    settings: HookSettings,
    permits: Arc<Semaphore>,
    cache: Cache<Judgement>,
    watch: Watch,
}

/// What the hook is asked.
#[derive(Serialize)]
struct Question<'l> {
    user: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'l str>,
    /// A password that is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Shown<'l>>,
}

#[derive(Serialize)]
struct Shown<'l> {
    subject: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    common_name: Option<&'l str>,
    fingerprint: &'l str,
}

/// What the hook says. What it says beyond that is passed over.
#[derive(Deserialize)]
struct Answer {
    result: Outcome,
    identity: Option<Box<str>>,
    #[serde(default)]
    groups: Vec<Box<str>>,
    cache_s: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Allow,
    Deny,
    Ignore,
}

impl Hook {
    /// A hook that is asked from now on.
    ///
    /// # Errors
    /// What of the settings cannot be used.
    pub fn new(settings: HookSettings) -> Result<Self, EndpointError> {
        Ok(Self {
            client: Client::new(Endpoint::http(&settings.endpoint)?, ANSWER_BYTES_MAX),
            permits: Arc::new(Semaphore::new(settings.concurrency.clamp(1, Semaphore::MAX_PERMITS))),
            cache: Cache::new(settings.cache_entries_max),
            watch: Watch::new("the hook"),
            settings,
        })
    }

    /// What the hook says of a login, now or not long ago.
    ///
    /// # Errors
    /// [`Unavailable`] if it says nothing in time, nothing that is understood, or too much; at once while it is known not to.
    pub async fn ask(&self, login: &Login<'_>) -> Result<Judgement, Unavailable> {
        let question = question(login);
        let tenant = login.tenant.number().to_be_bytes();
        let key = self.cache.key([Some(&tenant[..]), Some(&question)]);
        if let Some(known) = self.cache.get(&key, Instant::now()) {
            return Ok(known);
        }
        let _admission = self.watch.admit().ok_or(Unavailable)?;
        let asked = timeout(self.settings.timeout, async {
            // The semaphore is never closed.
            let _permit = self.permits.acquire().await;
            self.client.ask(Some(question)).await
        });
        let answer = match asked.await.unwrap_or(Err(ExchangeError::Timeout)) {
            Ok(answer) => answer,
            Err(error) => {
                self.watch.fails(error);
                return Err(Unavailable);
            }
        };
        let Some((judgement, kept)) = self.understand(login, &answer) else {
            self.watch.fails("the answer is not understood");
            return Err(Unavailable);
        };
        self.watch.answers();
        self.cache.put(key, judgement.clone(), kept, Instant::now());
        Ok(judgement)
    }

    /// Forgets what the hook has said.
    pub fn forget(&self) {
        self.cache.clear();
    }

    /// What an answer means, and how long it is kept.
    fn understand(&self, login: &Login<'_>, answer: &[u8]) -> Option<(Judgement, Duration)> {
        let answer: Answer = serde_json::from_slice(answer).ok()?;
        let kept = |max: Duration| answer.cache_s.map_or(max, |wanted| Duration::from_secs(wanted).min(max));
        Some(match answer.result {
            Outcome::Deny => (Judgement::Denied, kept(self.settings.cache_denied)),
            Outcome::Ignore => (Judgement::Ignored, kept(self.settings.cache_denied)),
            Outcome::Allow => {
                let name = answer.identity.as_deref().unwrap_or(login.user);
                let groups_fit =
                    answer.groups.len() <= GROUPS_MAX && answer.groups.iter().all(|g| is_name(g));
                if !is_name(name) || !groups_fit {
                    return None;
                }
                let grant = Grant {
                    identity: Identity::user(login.tenant, name),
                    groups: answer.groups,
                    rights: None,
                    valid_until: None,
                };
                (Judgement::Granted(grant), kept(self.settings.cache))
            }
        })
    }
}

fn question(login: &Login<'_>) -> Bytes {
    let text = login.password.map(std::str::from_utf8);
    let question = Question {
        user: login.user,
        password: text.and_then(Result::ok),
        password_base64: login
            .password
            .filter(|_| text.is_some_and(|text| text.is_err()))
            .map(|bytes| STANDARD.encode(bytes)),
        client_id: login.client_id,
        address: login.address.map(|address| address.to_string()),
        listener: login.listener,
        protocol: login.protocol,
        certificate: login.certificate.map(|Certificate { subject, common_name, fingerprint }| Shown {
            subject,
            common_name,
            fingerprint,
        }),
    };
    // Texts and an optional table of texts can always be written.
    serde_json::to_vec(&question).unwrap_or_default().into()
}
