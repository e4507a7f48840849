//! Logs: to standard error, as text or as one JSON object a line.

use std::io::{IsTerminal, stderr};

use crate::config::{LogFormat, Settings};

/// Starts logging as the configuration says. Called once.
pub(crate) fn start(settings: &Settings) {
    let builder =
        tracing_subscriber::fmt().with_max_level(settings.log_level).with_writer(stderr).with_target(false);
    match settings.log_format {
        LogFormat::Text => builder.with_ansi(stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
