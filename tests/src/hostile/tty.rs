//! The terminal's lock against a naive model of it: a list of who came, and all else looked up anew. Any
//! calls in any order come to the same in both, and when all have left nothing is left (P-T2).

use hatchery_proto::LinkId;
use hatchery_proto::tty::{Refused, RequestId, Tty, TtyStep, Via};

use super::Script;

const CHILDREN: u64 = 3;
const NUMBERS: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    id: RequestId,
    granted: bool,
    told: bool,
}

/// What a lock should come to.
#[derive(Debug, Default)]
struct Model {
    is_root: bool,
    is_cut: bool,
    rows: Vec<Row>,
    ended: Vec<RequestId>,
    /// The last has left since anybody was told.
    idle: bool,
}

impl Model {
    fn row(&mut self, id: RequestId) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.id == id)
    }

    fn request(&mut self, id: RequestId) -> Result<(), Refused> {
        if self.row(id).is_some() {
            return Err(Refused::Double);
        }
        if self.is_cut {
            return Err(Refused::Cut);
        }
        self.rows.push(Row { id, granted: false, told: false });
        self.idle = false;
        Ok(())
    }

    fn remove(&mut self, which: impl Fn(&Row) -> bool) -> usize {
        let before = self.rows.len();
        self.rows.retain(|row| !which(row));
        let removed = before - self.rows.len();
        self.idle |= removed > 0 && self.rows.is_empty();
        removed
    }

    fn cut(&mut self) {
        if !self.is_root && !std::mem::replace(&mut self.is_cut, true) {
            self.ended.extend(self.rows.iter().map(|row| row.id));
            self.remove(|_| true);
        }
    }

    /// A root's terminal is the first's.
    fn settle(&mut self) {
        if let Some(first) = self.rows.first_mut().filter(|_| self.is_root) {
            first.granted = true;
        }
    }

    /// What is told now: ends, grants, and that it is idle, whatever the order of the first two.
    fn told(&mut self) -> (Vec<RequestId>, Vec<RequestId>, bool) {
        let mut granted = Vec::new();
        for row in self.rows.iter_mut().filter(|row| row.granted) {
            if !std::mem::replace(&mut row.told, true) {
                granted.push(row.id);
            }
        }
        (std::mem::take(&mut self.ended), granted, std::mem::take(&mut self.idle))
    }
}

/// Each byte is a call or an argument of one.
///
/// # Panics
/// Panics where the lock and its model differ, or something is left in the end.
pub fn tty_against(bytes: &[u8]) {
    let mut script = Script(bytes);
    let is_root = script.byte() & 1 == 0;
    let (mut tty, mut model) = (Tty::new(is_root), Model { is_root, ..Model::default() });
    while !script.0.is_empty() {
        call(&mut tty, &mut model, &mut script);
        model.settle();
        compare(&tty, &mut model);
        if script.byte() & 3 != 0 {
            hear(&mut tty, &mut model);
        }
    }
    for number in 0..CHILDREN {
        tty.handle_child_gone(LinkId::new(number));
        model.remove(|row| row.id.via == Via::Child(LinkId::new(number)));
        model.settle();
    }
    let own: Vec<_> = model.rows.iter().map(|row| row.id).collect();
    for id in own {
        assert!(tty.release(id) != tty.withdraw(id), "the one or the other");
        model.remove(|row| row.id == id);
        model.settle();
    }
    compare(&tty, &mut model);
    hear(&mut tty, &mut model);
    assert!(tty.is_empty() && tty.poll_step().is_none(), "something is left");
    assert_eq!(
        format!("{tty:?}").replace("cut: true", "cut: false"),
        format!("{:?}", Tty::new(is_root)),
        "something is left"
    );
}

fn call(tty: &mut Tty, model: &mut Model, script: &mut Script<'_>) {
    let child = LinkId::new(script.below(CHILDREN as usize) as u64);
    let via = if script.byte() & 3 == 0 { Via::Own } else { Via::Child(child) };
    let id = RequestId::new(via, script.below(NUMBERS) as u64);
    match script.byte() % 16 {
        0..=5 => assert_eq!(tty.request(id), model.request(id)),
        6..=8 => {
            let removed = model.remove(|row| row.id == id && row.granted);
            assert_eq!(tty.release(id), removed > 0);
        }
        9..=10 => {
            let removed = model.remove(|row| row.id == id && !row.granted);
            assert_eq!(tty.withdraw(id), removed > 0);
        }
        11..=13 => {
            tty.handle_granted(id);
            let is_root = model.is_root;
            if let Some(row) = model.row(id).filter(|_| !is_root) {
                row.granted = true;
            }
        }
        14 => {
            tty.handle_child_gone(child);
            model.remove(|row| row.id.via == Via::Child(child));
        }
        _ => {
            tty.handle_parent_gone();
            model.cut();
        }
    }
}

fn compare(tty: &Tty, model: &mut Model) {
    let rows: Vec<_> = model.rows.iter().map(|row| (row.id, row.granted)).collect();
    assert_eq!(tty.requests().collect::<Vec<_>>(), rows);
    assert_eq!((tty.len(), tty.is_empty()), (rows.len(), rows.is_empty()));
    assert_eq!(tty.is_busy(), !rows.is_empty());
    for number in 0..CHILDREN {
        let via = Via::Child(LinkId::new(number));
        let busy = rows.iter().any(|(id, _)| id.via == via);
        assert_eq!(tty.is_busy_below(LinkId::new(number)), busy);
    }
    if model.is_root {
        assert!(rows.iter().skip(1).all(|(_, granted)| !granted), "two have it");
        assert!(rows.first().is_none_or(|(_, granted)| *granted), "nobody has it");
    }
}

/// Hears everything that is to be told.
fn hear(tty: &mut Tty, model: &mut Model) {
    let steps: Vec<_> = std::iter::from_fn(|| tty.poll_step()).collect();
    let (ended, mut granted, idle) = model.told();
    let of = |wanted: fn(&TtyStep) -> Option<RequestId>| steps.iter().filter_map(wanted);
    let found = of(|step| if let TtyStep::Ended(id) = step { Some(*id) } else { None });
    assert_eq!(found.collect::<Vec<_>>(), ended);
    let found = of(|step| if let TtyStep::Granted(id) = step { Some(*id) } else { None });
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    granted.sort_unstable();
    assert_eq!(found, granted);
    let idles = steps.iter().filter(|step| **step == TtyStep::Idle).count();
    assert_eq!(idles, usize::from(idle), "once each time, and not while somebody has it");
    assert!(!idle || steps.last() == Some(&TtyStep::Idle), "after all else");
    assert!(!idle || tty.is_empty());
}
