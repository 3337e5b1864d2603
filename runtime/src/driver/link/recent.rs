//! What the links of this process have sent and received last, for whoever looks into one that
//! hangs. Behind the feature `test-support`. Waits for nobody: what hangs may hold a lock.

use std::sync::{Arc, Mutex, Weak};

use super::{Link, lock};

static LINKS: Mutex<Vec<Weak<Link>>> = Mutex::new(Vec::new());

pub(super) fn remember(link: &Arc<Link>) {
    let mut links = lock(&LINKS);
    links.retain(|link| link.strong_count() > 0);
    links.push(Arc::downgrade(link));
}

/// A line for each link that is open: the last frames, oldest first.
pub(crate) fn last_steps() -> Vec<String> {
    let Ok(links) = LINKS.try_lock() else { return vec!["a link is being opened".to_owned()] };
    links.iter().filter_map(Weak::upgrade).map(|link| link.last_steps()).collect()
}

impl Link {
    fn last_steps(&self) -> String {
        let Ok(connection) = self.connection.try_lock() else {
            return "a link that is in use".to_owned();
        };
        let peer = connection.peer().map_or("a peer unknown".to_owned(), ToString::to_string);
        let notes: Vec<_> = connection.recent().map(ToString::to_string).collect();
        format!("link to {peer}: {}", notes.join(", "))
    }
}
