//! What the core writes: whole messages in fragments that follow one another, each as long as the
//! application made it, whatever the peer says meanwhile (P-F3).

use std::hash::{Hash, Hasher};

use hatchery_proto::dialog::tables::Life;
use hatchery_proto::wire::deframer::Deframer;
use hatchery_proto::wire::{CONTINUED, Frame, MORE, Tag, body};
use hatchery_proto::{DialogId, Names};

use super::super::pair::broken;
use super::super::search::Finding;
use super::{Plan, World};

/// A message of which a part is written.
#[derive(Clone, Copy, Debug)]
struct Begun {
    id: DialogId,
    tag: Tag,
    size: usize,
}

/// The messages that the core has begun and not finished.
#[derive(Clone, Debug, Default)]
pub(super) struct Written(Vec<Begun>);

impl Written {
    pub(super) fn digest(&self, names: &mut Names, state: &mut impl Hasher) {
        for begun in &self.0 {
            (names.of(begun.id), begun.tag as u8, begun.size).hash(state);
        }
    }

    fn take(&mut self, plan: &Plan, frame: &Frame<'_>, ours: bool) -> Result<(), Finding> {
        let (id, tag) = (frame.dialog, frame.tag.expect("a core writes what is known"));
        let name = tag.name();
        let place = self.0.iter().position(|begun| begun.id == id);
        if !tag.has_flags() {
            match tag {
                // It abandons what its own side has not finished.
                Tag::Cancel if ours => self.0.retain(|begun| begun.id != id),
                Tag::Stop | Tag::Error if place.is_some() => {
                    return broken(format!("{name} breaks into a message of {id} (P-F3)"));
                }
                _ => {}
            }
            return Ok(());
        }
        let begun = place.map(|place| self.0.swap_remove(place));
        let size = match begun {
            Some(Begun { tag: known, size, .. }) => {
                if known as u8 != tag as u8 || frame.flags & CONTINUED == 0 {
                    return broken(format!("{name} breaks into {} of {id} (P-F3)", known.name()));
                }
                size + frame.body.len()
            }
            None if frame.flags & CONTINUED != 0 => {
                return broken(format!("{name} of {id} continues nothing (P-F3)"));
            }
            None if tag == Tag::Start => {
                let (_, args) = postcard::take_from_bytes::<body::Start<'_>>(frame.body)
                    .expect("a core writes whole bodies");
                args.len()
            }
            None => frame.body.len(),
        };
        if frame.flags & MORE != 0 {
            self.0.push(Begun { id, tag, size });
        } else if size != plan.size(tag) {
            return broken(format!("{name} of {id} ends with {size} bytes (P-F3)"));
        }
        Ok(())
    }
}

/// Every frame that was written.
pub(super) fn each(
    mut bytes: &[u8],
    mut take: impl FnMut(&Frame<'_>) -> Result<(), Finding>,
) -> Result<(), Finding> {
    let mut deframer = Deframer::new(u32::MAX);
    while let Some(frame) = deframer.next(&mut bytes).expect("a core writes whole frames") {
        take(&frame)?;
    }
    Ok(())
}

/// Follows what was written.
pub(super) fn follow(plan: &Plan, world: &mut World, bytes: &[u8]) -> Result<(), Finding> {
    let most = plan.max_frame as usize;
    let mut written = std::mem::take(&mut world.written);
    each(bytes, |frame| {
        if frame.body.len() > most {
            return broken(format!("a frame of more than {most} bytes is written (P-F2)"));
        }
        let ours = world.opened.contains(&frame.dialog.number());
        written.take(plan, frame, ours)
    })?;
    world.written = written;
    Ok(())
}

/// Forgets what belongs to dialogs that are over; of the others no half of a message may stay, where
/// nothing is left to be written.
pub(super) fn settle(world: &mut World) -> Result<(), Finding> {
    let core = &world.core;
    world
        .written
        .0
        .retain(|begun| core.stance(begun.id).is_some_and(|stance| stance.life != Life::Done));
    if world.deaf || core.wants_transmit() {
        return Ok(());
    }
    // Whoever asked to cancel abandons it with the `Cancel` itself.
    match world.written.0.first() {
        Some(half) => {
            broken(format!("{} of {} stays half written (P-F3)", half.tag.name(), half.id))
        }
        None => Ok(()),
    }
}
