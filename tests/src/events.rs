//! What the library logs, as something that a test can wait for where nothing else shows it.

use tracing::{Event, Level, Metadata, Subscriber, span};

/// Does `deed` at each event that one module of the library logs at this level. At most one such module in
/// a process.
pub fn at_each(module: &'static str, level: Level, deed: impl Fn() + Send + Sync + 'static) {
    tracing::subscriber::set_global_default(AtEach { module, level, deed }).unwrap_or(());
}

/// Does `deed` whenever a root that adopts has looked at all that is below it.
pub fn at_each_look(deed: impl Fn() + Send + Sync + 'static) {
    at_each("hatchery::driver::adopter", Level::TRACE, deed);
}

struct AtEach<F> {
    module: &'static str,
    level: Level,
    deed: F,
}

impl<F: Fn() + Send + Sync + 'static> Subscriber for AtEach<F> {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.module_path() == Some(self.module) && *about.level() == self.level
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        (self.deed)();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
