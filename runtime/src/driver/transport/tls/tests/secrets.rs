//! What must not be seen is not: in `Debug`, in a log of everything, in what `/proc` tells of this process.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::super::pem;
use super::*;

/// Keeps all that is ever logged.
#[derive(Clone, Default)]
pub(in crate::driver::transport) struct Log(pub(in crate::driver::transport) Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0.lock().unwrap(), "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The ways in which bytes are written.
pub(in crate::driver::transport) fn written(secret: &[u8]) -> [String; 5] {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut base64 = Vec::new();
    pem::put(&mut base64, "", secret);
    let base64 = String::from_utf8(base64).unwrap().lines().nth(1).unwrap()[..40].to_owned();
    let list = format!("{secret:?}");
    let list = list[1..list.len() - 1].to_owned();
    [hex.to_uppercase(), hex, base64, list, String::from_utf8_lossy(secret).into_owned()]
}

#[test]
fn no_secret_is_shown_or_logged_or_told_to_others() {
    let log = Log::default();
    let mut shown = String::new();
    let mut secrets = Vec::new();
    tracing::subscriber::with_default(log.clone(), || {
        tracing::trace!("something is logged");
        let (authority, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
        let credentials = authority.credentials("guest").unwrap();
        let (secret, text) = (authority.to_secret(), credentials.to_text());
        secrets.push(secret.expose()[1..].to_vec());
        let sections = pem::sections(std::str::from_utf8(text.expose()).unwrap()).unwrap();
        secrets.push(sections[2].1.expose()[16..].to_vec());
        let guest = credentials.keys().unwrap();
        let one = keys(&authority, 1);
        let (dialed, accepted) = shake(&one, &guest, None);
        let (mut dialed, mut accepted) = (dialed.unwrap(), accepted.unwrap());
        block_on(async {
            dialed.0.write_all(b"between us").await.unwrap();
            dialed.0.flush().await.unwrap();
            accepted.0.read_exact(&mut [0; 10]).await.unwrap();
        });
        let failed = shake(&one, &keys(&stranger, 3), None);
        write!(shown, "{authority:?} {credentials:?} {secret:?} {text:?} {one:?} {guest:#?}")
            .unwrap();
        write!(shown, "{dialed:?} {accepted:?} {failed:?} {sections:?}").unwrap();
        let error = Credentials::from_text(&text.expose()[..text.expose().len() - 40]).unwrap_err();
        write!(shown, "{error} {error:?}").unwrap();
    });
    let logged = log.0.lock().unwrap().clone();
    assert!(logged.contains("something is logged"));
    let own =
        ["environ", "cmdline"].map(|file| std::fs::read(format!("/proc/self/{file}")).unwrap());
    let own = own.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    for secret in &secrets {
        assert_eq!(secret.len(), 32);
        for written in written(secret) {
            for text in [&logged, &shown, &own[0], &own[1]] {
                assert!(!text.contains(&written));
            }
        }
    }
    assert!(!logged.contains("between us"));
    assert!(shown.contains("Secret(..)") && shown.contains("`guest`"), "{shown}");
}
