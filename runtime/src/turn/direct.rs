//! Tasks that whoever runs the actor polls without asking its executor: a link's reader is woken for
//! nearly every message, and each time the executor would look for a task three times, and allocate a
//! block of its queue for every 31.
//!
//! That goes only while one future alone runs the actor, which may block nobody but itself. Where there
//! are several, each direct task that is ready becomes a task of the executor, which knows how to find
//! one that does not block.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_executor::{Executor, Task};
use async_task::Runnable;

use super::{Runners, Turn};
use crate::driver::link::lock;

/// The direct tasks that are ready, and who polls them.
#[derive(Debug, Default)]
pub(super) struct Direct {
    ready: VecDeque<Runnable>,
    /// Whoever runs the actor.
    turns: Vec<Arc<Turn>>,
    /// Where those are several.
    executor: Option<Arc<Executor<'static>>>,
    over: bool,
}

/// What is to be done with a task that is ready, once the lock is let go of: it, its waker and its
/// destructor are not ours.
enum Then {
    /// It is in the queue, and this one is to hear of it.
    Call(Arc<Turn>),
    /// Somebody will begin to run the actor, and look.
    Wait,
    Spawn(Arc<Executor<'static>>, Runnable),
    Drop(Runnable),
}

impl Direct {
    fn take(&mut self, task: Runnable) -> Then {
        if self.over {
            return Then::Drop(task);
        }
        if let Some(executor) = &self.executor {
            return Then::Spawn(executor.clone(), task);
        }
        self.ready.push_back(task);
        self.turns.first().map_or(Then::Wait, |turn| Then::Call(turn.clone()))
    }
}

impl Runners {
    /// Starts a direct task. Once the actor has ended, it is dropped unpolled.
    pub(crate) fn spawn_direct(
        self: &Arc<Self>,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Task<()> {
        let runners = self.clone();
        let (ready, task) = async_task::spawn(future, move |ready| runners.direct_is_ready(ready));
        ready.schedule();
        task
    }

    fn direct_is_ready(&self, task: Runnable) {
        let then = lock(&self.direct).take(task);
        match then {
            Then::Call(turn) => turn.call(),
            Then::Wait => {}
            Then::Spawn(executor, task) => spawn(&executor, task),
            Then::Drop(task) => drop(task),
        }
    }

    /// Polls those that are ready now; one that is ready again at once is polled in the next turn.
    pub(super) fn run_ready(&self) {
        let next = || lock(&self.direct).ready.pop_front();
        let (mut ready, mut left) = {
            let mut direct = lock(&self.direct);
            (direct.ready.pop_front(), direct.ready.len())
        };
        while let Some(task) = ready {
            task.run();
            ready = if left > 0 { next() } else { None };
            left = left.saturating_sub(1);
        }
    }

    /// One more runs the actor; gives all that do. What the one before has not come to does not wait for
    /// it, which may be blocking its thread.
    pub(super) fn enter(
        &self,
        turn: &Arc<Turn>,
        executor: &Arc<Executor<'static>>,
    ) -> Vec<Arc<Turn>> {
        let (ready, all) = {
            let mut direct = lock(&self.direct);
            direct.turns.push(turn.clone());
            self.count.store(direct.turns.len(), Ordering::SeqCst);
            if direct.turns.len() == 1 {
                // It is being polled, and comes to them in this turn.
                turn.called.store(!direct.ready.is_empty(), Ordering::SeqCst);
                return Vec::new();
            }
            direct.executor = Some(executor.clone());
            (mem::take(&mut direct.ready), direct.turns.clone())
        };
        ready.into_iter().for_each(|task| spawn(executor, task));
        all
    }

    /// One less does. What is ready waits for whoever begins next where it was the last one.
    pub(super) fn leave(&self, turn: &Arc<Turn>) {
        let executor = {
            let mut direct = lock(&self.direct);
            direct.turns.retain(|other| !Arc::ptr_eq(other, turn));
            self.count.store(direct.turns.len(), Ordering::SeqCst);
            if direct.turns.len() > 1 { None } else { direct.executor.take() }
        };
        // It may be the last that holds it, and drops its tasks then.
        drop(executor);
    }

    /// The actor has ended: whatever is ready still is dropped, and whoever was to run it let go of.
    pub(crate) fn end(&self) {
        let mut direct = lock(&self.direct);
        let last = mem::replace(&mut *direct, Direct { over: true, ..Direct::default() });
        drop(direct);
        drop(last);
    }
}

fn spawn(executor: &Executor<'static>, task: Runnable) {
    let run = async move {
        task.run();
    };
    executor.spawn(run).detach();
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Poll, Waker};

    use super::super::Running;
    use super::*;

    /// A task that never ends, and what it was polled with last.
    #[derive(Default)]
    struct Seen {
        polls: AtomicUsize,
        waker: Mutex<Option<Waker>>,
    }

    impl Seen {
        fn task(self: &Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            self.doing(|| ())
        }

        /// One that does this in each poll.
        fn doing(
            self: &Arc<Self>,
            mut does: impl FnMut() + Send + 'static,
        ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let seen = self.clone();
            Box::pin(poll_fn(move |cx| {
                seen.polls.fetch_add(1, Ordering::SeqCst);
                *lock(&seen.waker) = Some(cx.waker().clone());
                does();
                Poll::Pending
            }))
        }

        fn polls(&self) -> usize {
            self.polls.load(Ordering::SeqCst)
        }

        fn wake(&self) {
            lock(&self.waker).take().unwrap().wake();
        }
    }

    #[derive(Default)]
    struct Stage {
        runners: Arc<Runners>,
        executor: Arc<Executor<'static>>,
    }

    impl Stage {
        fn runs(&self) -> Arc<Running> {
            Arc::new(Running::begin(&self.runners, &Arc::default(), &self.executor))
        }
    }

    #[test]
    fn one_that_runs_the_actor_polls_them_itself() {
        let (stage, seen) = (Stage::default(), Arc::new(Seen::default()));
        let _task = stage.runners.spawn_direct(seen.task());
        assert_eq!(seen.polls(), 0, "nobody runs the actor");
        let one = stage.runs();
        one.serve();
        one.serve();
        assert_eq!(seen.polls(), 1, "once, since nobody has woken it again");
        seen.wake();
        one.serve();
        assert_eq!(seen.polls(), 2);
        assert!(stage.executor.is_empty());
    }

    #[test]
    fn one_that_is_ready_again_at_once_waits_for_the_next_turn() {
        let (stage, seen) = (Stage::default(), Arc::new(Seen::default()));
        let again = seen.clone();
        let _task = stage.runners.spawn_direct(seen.doing(move || again.wake()));
        let one = stage.runs();
        for turns in 1..4 {
            one.serve();
            assert_eq!(seen.polls(), turns);
        }
    }

    #[test]
    fn what_is_ready_goes_to_whoever_begins_while_another_blocks() {
        let (stage, seen) = (Stage::default(), Arc::new(Seen::default()));
        let _blocks = stage.runs();
        let _task = stage.runners.spawn_direct(seen.task());
        let other = stage.runs();
        other.serve();
        other.look();
        assert_eq!(seen.polls(), 1);
    }

    #[test]
    fn among_several_none_waits_for_another_that_blocks_the_thread() {
        let (stage, seen) = (Stage::default(), Arc::new(Seen::default()));
        let (first, blocks) = (stage.runs(), Arc::new(Seen::default()));
        let other = stage.runs();
        let (still, asked) = (seen.clone(), Arc::downgrade(&other));
        let _one = stage.runners.spawn_direct(blocks.doing(move || {
            asked.upgrade().unwrap().look();
            assert_eq!(still.polls(), 1, "while this one is being polled still");
        }));
        let _two = stage.runners.spawn_direct(seen.task());
        first.look();
        assert_eq!((blocks.polls(), seen.polls()), (1, 1));
    }

    #[test]
    fn the_last_of_several_polls_them_itself_again() {
        let (stage, seen) = (Stage::default(), Arc::new(Seen::default()));
        let (first, other) = (stage.runs(), stage.runs());
        let _task = stage.runners.spawn_direct(seen.task());
        first.look();
        drop(other);
        seen.wake();
        first.serve();
        assert_eq!(seen.polls(), 2);
        drop(first);
        seen.wake();
        stage.runs().serve();
        assert_eq!(seen.polls(), 3, "by one that has begun since");
    }

    #[test]
    fn the_actors_end_drops_those_that_are_ready_and_those_to_come() {
        let (stage, seen) = (Stage::default(), Arc::new(Seen::default()));
        let ready = stage.runners.spawn_direct(seen.task());
        stage.runners.end();
        assert_eq!(Arc::strong_count(&seen), 1);
        let late = stage.runners.spawn_direct(seen.task());
        assert_eq!(Arc::strong_count(&seen), 1);
        stage.runs().serve();
        assert_eq!(seen.polls(), 0);
        drop((ready, late));
    }

    #[test]
    fn the_actors_end_lets_go_of_those_that_wait() {
        let (stage, seen) = (Stage::default(), Arc::new(Seen::default()));
        let task = stage.runners.spawn_direct(seen.task());
        let one = stage.runs();
        one.serve();
        drop(one);
        stage.runners.end();
        lock(&seen.waker).take();
        // As the executor does with what holds it.
        drop(task);
        assert_eq!(Arc::strong_count(&seen), 1);
    }
}
