//! `[coap]`: limits and times of CoAP.

use std::time::Duration;

use mynah_coap::{CoapConfig, Compat};
use serde::Deserialize;
use toml::Spanned;

use super::settings::Wrong;

/// The table as it is written.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Coap {
    compat: Paths,
    pub(super) ack_timeout_ms: Spanned<u32>,
    pub(super) retransmit_max: Spanned<u8>,
    pub(super) nstart: Spanned<u8>,
    pub(super) exchanges_max: Spanned<u8>,
    pub(super) dedup_messages_max: Spanned<u16>,
    pub(super) dedup_bytes_max: Spanned<u32>,
    pub(super) message_bytes_max: Spanned<u32>,
    pub(super) block_bytes: Spanned<u16>,
    pub(super) body_bytes_max: Spanned<u32>,
    pub(super) uploads_bytes_max: Spanned<u32>,
    pub(super) downloads_bytes_max: Spanned<u32>,
    pub(super) observations_max: Spanned<u16>,
    pub(super) filters_max: Spanned<u8>,
    pub(super) stream_messages_max: Spanned<u16>,
    pub(super) request_timeout_s: Spanned<u32>,
    pub(super) registrations_max: Spanned<u32>,
    pub(super) registration_bytes_max: Spanned<u32>,
    pub(super) observe_probe_s: Spanned<u32>,
    pub(super) idle_s: Spanned<u32>,
    pub(super) amplification_max: Spanned<u8>,
    pub(super) leisure_ms: Spanned<u32>,
}

/// Whose paths are there beside ours.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
enum Paths {
    None,
    Emqx,
}

impl Default for Coap {
    fn default() -> Self {
        fn unsaid<T>(value: T) -> Spanned<T> {
            Spanned::new(0..0, value)
        }
        let config = CoapConfig::default();
        let seconds = |time: Duration| unsaid(u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
        let millis = |time: Duration| unsaid(u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        Self {
            compat: Paths::None,
            ack_timeout_ms: millis(config.ack_timeout),
            retransmit_max: unsaid(config.retransmit_max),
            nstart: unsaid(config.nstart),
            exchanges_max: unsaid(config.exchanges_max),
            dedup_messages_max: unsaid(config.dedup_messages_max),
            dedup_bytes_max: unsaid(config.dedup_bytes_max),
            message_bytes_max: unsaid(config.message_bytes_max),
            block_bytes: unsaid(config.block_bytes),
            body_bytes_max: unsaid(config.body_bytes_max),
            uploads_bytes_max: unsaid(config.uploads_bytes_max),
            downloads_bytes_max: unsaid(config.downloads_bytes_max),
            observations_max: unsaid(config.observations_max),
            filters_max: unsaid(config.filters_max),
            stream_messages_max: unsaid(config.stream_messages_max),
            request_timeout_s: seconds(config.request_timeout),
            registrations_max: unsaid(config.registrations_max),
            registration_bytes_max: unsaid(config.registration_bytes_max),
            observe_probe_s: seconds(config.observe_probe),
            idle_s: seconds(config.idle),
            amplification_max: unsaid(config.amplification_max),
            leisure_ms: millis(config.leisure),
        }
    }
}

impl Coap {
    /// What is written, checked.
    pub(super) fn settle(&self) -> Result<CoapConfig, Wrong> {
        let seconds = |seconds: &Spanned<u32>| Duration::from_secs((*seconds.get_ref()).into());
        let millis = |millis: &Spanned<u32>| Duration::from_millis((*millis.get_ref()).into());
        let compat = match self.compat {
            Paths::None => Compat::None,
            Paths::Emqx => Compat::Emqx,
        };
        let config = CoapConfig {
            compat,
            ack_timeout: millis(&self.ack_timeout_ms),
            retransmit_max: *self.retransmit_max.get_ref(),
            nstart: *self.nstart.get_ref(),
            exchanges_max: *self.exchanges_max.get_ref(),
            dedup_messages_max: *self.dedup_messages_max.get_ref(),
            dedup_bytes_max: *self.dedup_bytes_max.get_ref(),
            message_bytes_max: *self.message_bytes_max.get_ref(),
            block_bytes: *self.block_bytes.get_ref(),
            body_bytes_max: *self.body_bytes_max.get_ref(),
            uploads_bytes_max: *self.uploads_bytes_max.get_ref(),
            downloads_bytes_max: *self.downloads_bytes_max.get_ref(),
            observations_max: *self.observations_max.get_ref(),
            filters_max: *self.filters_max.get_ref(),
            stream_messages_max: *self.stream_messages_max.get_ref(),
            request_timeout: seconds(&self.request_timeout_s),
            registrations_max: *self.registrations_max.get_ref(),
            registration_bytes_max: *self.registration_bytes_max.get_ref(),
            observe_probe: seconds(&self.observe_probe_s),
            idle: seconds(&self.idle_s),
            amplification_max: *self.amplification_max.get_ref(),
            leisure: millis(&self.leisure_ms),
            ..CoapConfig::default()
        };
        config
            .validate()
            .map_err(|error| Wrong { span: self.span_of(error.name), message: error.to_string() })?;
        Ok(config)
    }

    /// Where the key stands that a value of the stack comes from.
    fn span_of(&self, name: &str) -> std::ops::Range<usize> {
        match name {
            "ack_timeout" | "separate_after" => self.ack_timeout_ms.span(),
            "retransmit_max" => self.retransmit_max.span(),
            "nstart" => self.nstart.span(),
            "exchanges_max" => self.exchanges_max.span(),
            "dedup_messages_max" => self.dedup_messages_max.span(),
            "dedup_bytes_max" => self.dedup_bytes_max.span(),
            "message_bytes_max" => self.message_bytes_max.span(),
            "block_bytes" => self.block_bytes.span(),
            "body_bytes_max" => self.body_bytes_max.span(),
            "uploads_bytes_max" => self.uploads_bytes_max.span(),
            "filters_max" => self.filters_max.span(),
            "stream_messages_max" => self.stream_messages_max.span(),
            "request_timeout" => self.request_timeout_s.span(),
            "registration_bytes_max" => self.registration_bytes_max.span(),
            "leisure" => self.leisure_ms.span(),
            "observe_probe" => self.observe_probe_s.span(),
            _ => self.idle_s.span(),
        }
    }
}
