//! Breadth first over the states of a world, with two threads and one result: states are numbered in
//! the order in which a single thread would have found them.
//!
//! Of a state that was looked into only its fingerprint, its parent and the action that led to it
//! are kept; a counterexample is told by doing it again.

use std::any::{Any, TypeId};
use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::hash::{BuildHasherDefault, Hash as _, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// A world: its states, what may happen in them, and what has to hold.
pub trait Model: Sync {
    /// All there is.
    type State: Clone + Send + Sync;
    /// One thing that may happen.
    type Action: Copy + Send + Sync + PartialEq + fmt::Debug;

    /// Where it begins.
    fn start(&self) -> Self::State;
    /// All that may happen next, always in the same order.
    fn actions(&self, state: &Self::State, out: &mut Vec<Self::Action>);
    /// Lets it happen. Says what a reader of a transcript should know, where somebody reads it.
    ///
    /// # Errors
    /// What does not hold.
    fn step(
        &self,
        state: &mut Self::State,
        action: Self::Action,
        notes: Option<&mut Vec<String>>,
    ) -> Result<(), Finding>;
    /// Digests what decides the future.
    fn fingerprint(&self, state: &Self::State, hasher: &mut impl Hasher);
    /// Whether everything has ended as it should.
    fn is_over(&self, state: &Self::State) -> bool;
    /// What happens next where everybody is willing and nothing breaks any more. Following it from
    /// any state has to lead to an end.
    fn willing(&self, state: &Self::State, among: &[Self::Action]) -> Option<Self::Action>;
    /// Leaves out what may as well happen later: whatever the others lead to, these lead to it too.
    fn first(&self, state: &Self::State, actions: &mut Vec<Self::Action>) {
        let _ = (state, actions);
    }
    /// Has a state that waits to be looked into share what others hold too.
    fn share(&self, state: &mut Self::State, pool: &mut Pool) {
        let _ = (state, pool);
    }
    /// The action in words.
    fn words(&self, action: Self::Action) -> String {
        format!("{action:?}")
    }
}

/// What was found to be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A property does not hold.
    Violation(String),
    /// Nothing leads to an end any more.
    Deadlock(String),
    /// A `Cancel` will not be answered.
    Unanswered(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(what) => write!(f, "violation: {what}"),
            Self::Deadlock(what) => write!(f, "deadlock: {what}"),
            Self::Unanswered(what) => write!(f, "unanswered: {what}"),
        }
    }
}

/// A finding, and the shortest way to it.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// What is wrong.
    pub finding: Finding,
    /// How it came about, a line for each thing that happened.
    pub transcript: String,
}

/// How far an exploration may go.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Threads that look into states.
    pub threads: usize,
    /// States that may be kept.
    pub states: usize,
    /// When it has to be over.
    pub until: Option<Instant>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { threads: 2, states: usize::MAX, until: None }
    }
}

/// What an exploration came to.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Actions tried in them.
    pub transitions: usize,
    /// The most actions that the shortest way to a state has.
    pub depth: usize,
    /// Whether no state is left that was not looked into.
    pub whole: bool,
    /// What is wrong, if anything is.
    pub counterexample: Option<Counterexample>,
}

/// How many states are looked into between two looks at what was found.
const BATCH: usize = 4096;
const NONE: u32 = u32::MAX;

/// Fingerprints are as good as random already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are numbers")
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Digests small numbers fast. Each step can be undone, so that two states that differ in one number
/// never meet; of 20 million others two do by chance in one of 90000 explorations.
#[derive(Debug, Default)]
pub struct Digest(u64);

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ mixed >> 33
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }
    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

type Seen = HashMap<u64, u32, BuildHasherDefault<Same>>;

/// Parts of states that wait, each kept once.
#[derive(Default)]
pub struct Pool {
    parts: HashMap<u64, Arc<dyn Any + Send + Sync>, BuildHasherDefault<Same>>,
    /// How many there were when those that nothing holds any more were let go last.
    swept: usize,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} parts", self.parts.len())
    }
}

impl Pool {
    /// Puts the first one with the same digest in its place. The digest has to tell apart whatever
    /// decides the future.
    pub fn share<T: Any + Send + Sync>(
        &mut self,
        part: &mut Arc<T>,
        digest: impl FnOnce(&T, &mut Digest),
    ) {
        let mut hasher = Digest::default();
        TypeId::of::<T>().hash(&mut hasher);
        digest(part, &mut hasher);
        let known = self.parts.entry(hasher.finish()).or_insert_with(|| part.clone());
        if let Ok(known) = known.clone().downcast() {
            *part = known;
        }
        if self.parts.len() > 2 * self.swept + 1024 {
            self.parts.retain(|_, part| Arc::strong_count(part) > 1);
            self.swept = self.parts.len();
        }
    }
}

struct Node<A> {
    parent: u32,
    depth: u32,
    /// Where the willing go from here.
    next: u32,
    action: Option<A>,
}

struct Child<M: Model> {
    parent: u32,
    action: Option<M::Action>,
    print: u64,
    /// Nothing where the state was known before.
    state: Option<M::State>,
    willing: bool,
    found: Option<Finding>,
}

/// Explores the world to its closure, or to the bounds.
pub fn explore<M: Model>(model: &M, bounds: Bounds) -> Explored {
    Search::new(model, bounds).run()
}

struct Search<'m, M: Model> {
    model: &'m M,
    bounds: Bounds,
    seen: Seen,
    nodes: Vec<Node<M::Action>>,
    queue: VecDeque<(u32, M::State)>,
    pool: Pool,
    transitions: usize,
}

impl<'m, M: Model> Search<'m, M> {
    fn new(model: &'m M, bounds: Bounds) -> Self {
        Self {
            model,
            bounds,
            seen: Seen::default(),
            nodes: Vec::new(),
            queue: VecDeque::new(),
            pool: Pool::default(),
            transitions: 0,
        }
    }

    fn run(mut self) -> Explored {
        let start = self.model.start();
        let print = print(self.model, &start);
        self.add(print, NONE, None, start);
        while !self.queue.is_empty() {
            if self.nodes.len() >= self.bounds.states || self.late() {
                return self.explored(None);
            }
            let many = self.queue.len().min(BATCH);
            let batch: Vec<_> = self.queue.drain(..many).collect();
            if let Some(example) = self.merge(batch) {
                return self.explored(Some(example));
            }
        }
        let stuck = self.stuck();
        self.explored(stuck)
    }

    fn late(&self) -> bool {
        self.bounds.until.is_some_and(|until| Instant::now() >= until)
    }

    fn explored(&self, counterexample: Option<Counterexample>) -> Explored {
        Explored {
            states: self.nodes.len(),
            transitions: self.transitions,
            depth: self.nodes.last().map_or(0, |node| node.depth as usize),
            whole: self.queue.is_empty() && counterexample.is_none(),
            counterexample,
        }
    }

    fn add(
        &mut self,
        print: u64,
        parent: u32,
        action: Option<M::Action>,
        mut state: M::State,
    ) -> u32 {
        let index = u32::try_from(self.nodes.len()).expect("fewer states than that");
        let depth = self.nodes.get(parent as usize).map_or(0, |node| node.depth + 1);
        self.nodes.push(Node { parent, depth, next: NONE, action });
        self.seen.insert(print, index);
        self.model.share(&mut state, &mut self.pool);
        self.queue.push_back((index, state));
        index
    }

    fn merge(&mut self, batch: Vec<(u32, M::State)>) -> Option<Counterexample> {
        for child in self.expand(&batch).into_iter().flatten() {
            if let Some(finding) = child.found {
                return Some(self.example(finding, child.parent, child.action));
            }
            self.transitions += 1;
            let index = match (self.seen.get(&child.print), child.state) {
                (Some(index), _) => *index,
                (None, Some(state)) => self.add(child.print, child.parent, child.action, state),
                (None, None) => unreachable!("it was known before"),
            };
            if child.willing {
                self.nodes[child.parent as usize].next = index;
            }
        }
        None
    }

    fn expand(&self, batch: &[(u32, M::State)]) -> Vec<Vec<Child<M>>> {
        let share = batch.len().div_ceil(self.bounds.threads.max(1));
        if batch.len() < 64 {
            return vec![expand(self.model, &self.seen, batch)];
        }
        thread::scope(|scope| {
            let threads: Vec<_> = batch
                .chunks(share)
                .map(|part| scope.spawn(|| expand(self.model, &self.seen, part)))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic here")).collect()
        })
    }

    /// A state from which the willing go round for ever: that they go on at all, unless everything is
    /// over, was seen in each state.
    fn stuck(&self) -> Option<Counterexample> {
        let mut ends = vec![false; self.nodes.len()];
        let mut way = Vec::new();
        for first in 0..self.nodes.len() {
            let mut index = first;
            way.clear();
            while !ends[index] && self.nodes[index].next != NONE {
                way.push(index);
                // No way is longer than there are states, unless it leads in a circle.
                if way.len() > 100_000 {
                    let what = "however willing everybody is, it goes round in a circle";
                    let first = u32::try_from(first).unwrap_or(NONE);
                    return Some(self.example(Finding::Deadlock(what.into()), first, None));
                }
                index = self.nodes[index].next as usize;
            }
            for index in &way {
                ends[*index] = true;
            }
        }
        None
    }

    /// Tells the shortest way to the state, and the action behind it.
    fn example(&self, finding: Finding, mut index: u32, last: Option<M::Action>) -> Counterexample {
        let mut actions: Vec<M::Action> = last.into_iter().collect();
        while let Some(node) = self.nodes.get(index as usize) {
            actions.extend(node.action);
            index = node.parent;
        }
        actions.reverse();
        let transcript = transcript(self.model, &actions);
        Counterexample { transcript: format!("{transcript}=> {finding}\n"), finding }
    }
}

fn expand<M: Model>(model: &M, seen: &Seen, part: &[(u32, M::State)]) -> Vec<Child<M>> {
    let mut children = Vec::with_capacity(part.len() * 8);
    let mut actions = Vec::new();
    for (parent, state) in part {
        actions.clear();
        model.actions(state, &mut actions);
        model.first(state, &mut actions);
        let willing = model.willing(state, &actions);
        if willing.is_none() && !model.is_over(state) {
            let what = "nothing more happens, and not everything has ended";
            let found = Some(Finding::Deadlock(what.into()));
            let (parent, action) = (*parent, None);
            children.push(Child { parent, action, print: 0, state: None, willing: false, found });
            continue;
        }
        for &action in &actions {
            let mut after = state.clone();
            let found = attempt(model, &mut after, action, None).err();
            let print = if found.is_some() { 0 } else { print(model, &after) };
            let known = found.is_some() || seen.contains_key(&print);
            children.push(Child {
                parent: *parent,
                action: Some(action),
                print,
                state: (!known).then_some(after),
                willing: willing == Some(action),
                found,
            });
        }
    }
    children
}

/// A panic is a violation like any other.
fn attempt<M: Model>(
    model: &M,
    state: &mut M::State,
    action: M::Action,
    notes: Option<&mut Vec<String>>,
) -> Result<(), Finding> {
    catch_unwind(AssertUnwindSafe(|| model.step(state, action, notes))).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| payload.downcast_ref::<&str>().copied());
        Err(Finding::Violation(format!("a panic: {}", said.unwrap_or("without a word"))))
    })
}

fn print<M: Model>(model: &M, state: &M::State) -> u64 {
    let mut hasher = Digest::default();
    model.fingerprint(state, &mut hasher);
    hasher.finish()
}

/// What happens when these actions are taken from the start.
pub fn transcript<M: Model>(model: &M, actions: &[M::Action]) -> String {
    let mut state = model.start();
    let mut text = String::new();
    for (number, action) in actions.iter().enumerate() {
        let mut notes = Vec::new();
        let _ = attempt(model, &mut state, *action, Some(&mut notes));
        let _ = writeln!(text, "{:3}  {}", number + 1, model.words(*action));
        for note in notes {
            let _ = writeln!(text, "       {note}");
        }
    }
    text
}
