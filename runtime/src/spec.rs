//! What a parent tells a child before it is up: the arguments of dialog 0 (P-L2).

use std::time::Duration;

use hatchery_proto::{ActorId, Limits};
use serde::{Deserialize, Serialize};

use crate::actor::{Actor, Exposed, Settings};
use crate::discovery::Places;
use crate::driver::transport::proofs::TreeSecret;

/// The specification of a child's life.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) parent: ActorId,
    pub(crate) log: Option<String>,
    pub(crate) debug: bool,
    pub(crate) exposed: Exposed,
    pub(crate) teardown: Duration,
    pub(crate) limits: WireLimits,
    /// The one task of an actor that `run_in_actor` started; a daemon has none.
    pub(crate) main: Option<MainTask>,
    /// Where it is found, and by whom.
    pub(crate) places: Places,
    /// What it may prove itself with: told over the link that it inherits, and nowhere else.
    pub(crate) secret: TreeSecret,
}

/// The task that is a one-shot actor's whole life.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MainTask {
    pub(crate) endpoint: String,
    pub(crate) schema: u64,
    pub(crate) args: Vec<u8>,
}

/// The limits that a child takes over for links of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireLimits {
    max_frame: u32,
    max_message: u32,
    window: u32,
    max_dialogs: u32,
}

impl WireLimits {
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            max_frame: limits.max_frame,
            max_message: limits.max_message,
            window: limits.window,
            max_dialogs: limits.max_dialogs,
        }
    }

    fn into_limits(self) -> Limits {
        Limits {
            max_frame: self.max_frame,
            max_message: self.max_message,
            window: self.window,
            max_dialogs: self.max_dialogs,
            ..Limits::default()
        }
    }
}

impl Spec {
    /// What this actor's child inherits.
    pub(crate) fn of_child(actor: &Actor) -> Self {
        let settings = actor.settings();
        Self {
            parent: actor.id().clone(),
            log: settings.log.clone(),
            debug: settings.debug,
            exposed: Exposed::Unsaid,
            teardown: settings.teardown,
            limits: WireLimits::of(&settings.limits),
            main: None,
            places: Places { listen: Vec::new(), registrars: actor.discovery().registrars() },
            secret: actor.proofs().told_to_children(),
        }
    }

    /// The settings that it comes to in the child, and the task it is to run.
    pub(crate) fn into_settings(self) -> (Settings, Option<MainTask>) {
        let settings = Settings {
            limits: self.limits.into_limits(),
            log: self.log,
            debug: self.debug,
            teardown: self.teardown,
            exposed: self.exposed,
            places: self.places,
        };
        (settings, self.main)
    }
}

#[cfg(test)]
mod tests {
    use hatchery_proto::Address;

    use super::*;
    use crate::discovery::{Registrar, Terms};

    const GOLDEN: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/specification-v1.txt"));

    #[test]
    fn p_l2_the_specification_keeps_its_bytes() {
        let limits = Limits { max_frame: 2048, max_message: 300, ..Limits::default() };
        let parent = ActorId { name: "root".into(), uuid: 300, pid: 7 };
        let plain = Spec {
            parent: parent.clone(),
            log: None,
            debug: false,
            exposed: Exposed::Unsaid,
            teardown: Duration::from_millis(4600),
            limits: WireLimits::of(&Limits::default()),
            main: None,
            places: Places::default(),
            secret: TreeSecret::default(),
        };
        let args = b"args".to_vec();
        let full = Spec {
            parent,
            log: Some("warn".into()),
            debug: true,
            exposed: Exposed::Only(vec!["a::b".into(), "c".into()]),
            teardown: Duration::from_secs(1),
            limits: WireLimits::of(&limits),
            main: Some(MainTask { endpoint: "a::b".into(), schema: u64::MAX, args }),
            places: Places {
                listen: vec![Address::unix("/a.sock"), Address::unix("/b.sock")],
                registrars: vec![
                    Registrar {
                        address: Address::unix("/r"),
                        uuid: Some(300),
                        terms: Terms::Either,
                    },
                    Registrar { address: Address::unix("/s"), uuid: None, terms: Terms::Either },
                ],
            },
            secret: TreeSecret::default(),
        };
        let kept = GOLDEN.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let kept: Vec<_> = kept.map(|line| line.replace(' ', "")).collect();
        let made = [plain, full].map(|spec| {
            let bytes = postcard::to_allocvec(&spec).unwrap();
            let back: Spec = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(format!("{back:?}"), format!("{spec:?}"));
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        });
        assert_eq!(kept, made, "the bytes have changed");
    }
}
