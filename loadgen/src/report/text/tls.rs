//! TLS: what was asked for and agreed on, and the handshakes that failed.

use std::fmt::{self, Write as _};

use super::{WIDTH, wrap};
use crate::record::{Record, TlsArgsRecord, TlsRecord};
use crate::units::{counted, grouped};

/// Of more combinations than this, only the number is shown.
const NEGOTIATED_SHOWN: usize = 4;

/// Below the plan: what the connections are encrypted with.
pub(super) fn write_tls(out: &mut String, record: &Record) -> fmt::Result {
    let (Some(args), Some(tls)) = (&record.args.tls, &record.tls) else { return Ok(()) };
    let mut text = format!("TLS with {}: {}{}", args.server_name, verified(args, tls), agreed(tls));
    text.push_str(&format!(
        ", {} and {} resumed",
        counted(tls.full_handshakes, "full handshake"),
        grouped(tls.resumed_handshakes)
    ));
    if args.resumption != "on" {
        text.push_str(&format!(" (--tls-resumption {})", args.resumption));
    }
    out.write_str(&wrap("  ", &text, WIDTH))
}

fn verified(args: &TlsArgsRecord, tls: &TlsRecord) -> &'static str {
    match args.verified {
        false => "its certificate was NOT verified (--tls-insecure), ",
        // Without a handshake that was done, nothing was verified.
        true if tls.negotiated.is_empty() => "",
        true => "its certificate was verified, ",
    }
}

/// What the handshakes agreed on, the most frequent first.
fn agreed(tls: &TlsRecord) -> String {
    let several = tls.negotiated.len() > 1;
    let shown = tls.negotiated.iter().take(NEGOTIATED_SHOWN).map(|negotiated| {
        let alpn = negotiated.alpn.as_ref().map(|alpn| format!(" for {alpn}")).unwrap_or_default();
        let times = match several {
            true => format!(" ({})", grouped(negotiated.handshakes)),
            false => String::new(),
        };
        format!("{} {}{alpn}{times}", negotiated.version, negotiated.cipher_suite)
    });
    let shown: Vec<String> = shown.collect();
    match tls.negotiated.len() {
        0 => "nothing agreed on".to_owned(),
        1..=NEGOTIATED_SHOWN => shown.join(", "),
        count => format!("{}, {} more", shown.join(", "), count - NEGOTIATED_SHOWN),
    }
}

/// The causes of failed handshakes, each with the words of the first.
pub(super) fn failures(tls: &TlsRecord) -> impl Iterator<Item = String> {
    tls.failures.iter().map(|failed| {
        let handshakes = counted(failed.handshakes, "TLS handshake");
        format!("{handshakes} failed ({}), first: {}", failed.cause.text(), failed.first)
    })
}
