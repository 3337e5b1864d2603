//! An open prompt: a thread that holds the terminal and asks, and the task on whose behalf it does, which
//! does what has to be done in the actor.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;

use async_channel::Receiver;
use futures_lite::FutureExt;

use super::commands::{self, Command};
use super::editor::{Editor, Heard};
use super::lock::{self, Held};
use super::served;
use super::set_on;
use super::shown::{Occasion, printable};
use crate::actor::Actor;
use crate::driver::terminal::{self, History, Keys, Stopped, Terminal};
use crate::{inspect, log};

/// What was typed at the prompts of this process.
static PAST: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// How a prompt was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Or it was never opened.
    Continue,
    Quit,
}

/// Where the thread's wishes come. Dropped, none of them is left unanswered.
struct Wished(Receiver<Wish>);

impl Drop for Wished {
    fn drop(&mut self) {
        self.0.close();
        while self.0.try_recv().is_ok() {}
    }
}

/// What the thread wants from the actor.
enum Wish {
    /// Something to show, said back there.
    Say(Command, Sender<String>),
    /// It is over.
    Left(Verdict),
}

/// Asks a person about `occasion`, as soon as it is the actor's turn; goes on where nobody can be asked.
/// What it comes to is told to `tell` as well, and that by whoever asks.
pub(crate) async fn open(
    actor: &Arc<Actor>,
    occasion: Occasion,
    tell: Option<Sender<Verdict>>,
) -> Verdict {
    let held = match lock::acquire(actor, &occasion.task).await {
        Ok(held) => Arc::new(held),
        Err(error) => {
            tracing::debug!(
                target: "hatchery::debugger", %error, task = occasion.task, "a prompt is left out"
            );
            return Verdict::Continue;
        }
    };
    // From here on, and until that is dropped, a cancel waits for the prompt.
    ask(actor, occasion, held, tell).await
}

async fn ask(
    actor: &Arc<Actor>,
    occasion: Occasion,
    held: Arc<Held>,
    tell: Option<Sender<Verdict>>,
) -> Verdict {
    let (wishes, wished) = async_channel::unbounded();
    let wished = Wished(wished);
    let begun = terminal::stop().and_then(|(stop, stopped)| {
        let asking = Asking { occasion, stopped, wishes, tell };
        // The terminal is given back when neither needs it any more.
        let held = held.clone();
        let thread = thread::Builder::new().name("hatchery-prompt".to_owned());
        thread.spawn(move || {
            asking.run();
            drop(held);
        })?;
        Ok(stop)
    });
    // Dropped, it ends the prompt.
    let mut stop = match begun {
        Ok(stop) => Some(stop),
        Err(error) => {
            tracing::warn!(target: "hatchery::debugger", %error, "a prompt could not be opened");
            return Verdict::Continue;
        }
    };
    let lost = async {
        held.lost().await;
        tracing::warn!(target: "hatchery::debugger", "the terminal was taken back; the prompt ends");
        stop = None;
        std::future::pending().await
    };
    serve(actor, &wished).or(lost).await
}

/// Does what the thread wants, until the prompt is left.
async fn serve(actor: &Arc<Actor>, wished: &Wished) -> Verdict {
    loop {
        match wished.0.recv().await {
            Ok(Wish::Say(command, reply)) => {
                // Where nobody waits for it any more, nobody misses it.
                let _ = reply.send(answer(actor, command).await);
            }
            Ok(Wish::Left(verdict)) => return verdict,
            Err(_) => return Verdict::Continue,
        }
    }
}

async fn answer(actor: &Arc<Actor>, command: Command) -> String {
    match command {
        Command::CancelActor => {
            actor.cancel_itself();
            format!("actor {} is cancelled; it ends once the prompt is left\n", actor.id())
        }
        Command::CancelRoot => match served::cancel_root().await {
            Ok(()) => "the whole tree is cancelled; it ends once all prompts are left\n".to_owned(),
            Err(error) => format!("the tree could not be cancelled: {error}\n"),
        },
        Command::Tree => lines(inspect::tree(actor).await),
        Command::Tasks => lines(inspect::tasks(actor)),
        Command::Contexts => lines(inspect::contexts(actor)),
        // The others are the prompt's own.
        _ => String::new(),
    }
}

/// With the end of its last line.
fn lines(text: String) -> String {
    printable(text.trim_end()) + "\n"
}

/// The thread's part.
struct Asking {
    occasion: Occasion,
    stopped: Stopped,
    wishes: async_channel::Sender<Wish>,
    tell: Option<Sender<Verdict>>,
}

/// What a line came to.
enum Said {
    Text(String),
    Leave(Verdict, String),
    /// Nobody listens any more.
    Over,
}

impl Asking {
    fn run(mut self) {
        let verdict = match self.talk() {
            Ok(verdict) => verdict,
            Err(error) => {
                tracing::warn!(
                    target: "hatchery::debugger", %error, "a prompt ends, since its terminal fails"
                );
                Verdict::Continue
            }
        };
        if let Some(tell) = self.tell.take() {
            let _ = tell.send(verdict);
        }
        let _ = self.wishes.send_blocking(Wish::Left(verdict));
    }

    fn talk(&mut self) -> std::io::Result<Verdict> {
        let terminal = Terminal::open()?;
        if !terminal.is_ours() {
            let why = "this program is in the background of its terminal";
            return Err(std::io::Error::other(why));
        }
        let history = History::wanted();
        let past = lock_past().take();
        let past = past.unwrap_or_else(|| history.as_ref().map(History::read).unwrap_or_default());
        let mut editor = Editor::new(past);
        let verdict = self.converse(&terminal, &mut editor, history.as_ref());
        *lock_past() = Some(editor.into_past());
        verdict
    }

    fn converse(
        &mut self,
        terminal: &Terminal,
        editor: &mut Editor,
        history: Option<&History>,
    ) -> std::io::Result<Verdict> {
        let keys = terminal.take_keys()?;
        let prompt = self.occasion.prompt();
        terminal.show(&self.occasion.head())?;
        terminal.show(&format!("{prompt}\x1b[K"))?;
        let mut buffer = [0; 256];
        let mut last = String::new();
        loop {
            let Some(typed) = terminal.hear(&self.stopped, &mut buffer)? else {
                // Others have the terminal by now, or its root is putting it in order.
                keys.leave();
                return Ok(Verdict::Continue);
            };
            let redraw = |editor: &Editor| terminal.show(&editor.drawn(&prompt, terminal.width()));
            for &byte in typed {
                match editor.feed(byte) {
                    Heard::Nothing => {}
                    Heard::Redraw => redraw(editor)?,
                    Heard::Clear => {
                        terminal.show("\x1b[H\x1b[2J")?;
                        redraw(editor)?;
                    }
                    Heard::Interrupt => {
                        terminal.show("^C\n")?;
                        redraw(editor)?;
                    }
                    Heard::Complete => self.complete(terminal, editor, &prompt)?,
                    Heard::End => {
                        terminal.show("\n")?;
                        return Ok(Verdict::Continue);
                    }
                    Heard::Line(line) => {
                        terminal.show("\n")?;
                        self.remember(&line, &mut last, history);
                        match self.obey(&line, terminal, &keys)? {
                            Said::Text(text) => terminal.show(&text)?,
                            Said::Leave(verdict, text) => {
                                terminal.show(&text)?;
                                return Ok(verdict);
                            }
                            Said::Over => return Ok(Verdict::Continue),
                        }
                        redraw(editor)?;
                    }
                }
            }
        }
    }

    fn remember(&self, line: &str, last: &mut String, history: Option<&History>) {
        if line.trim().is_empty() || line == last {
            return;
        }
        line.clone_into(last);
        if let Some(Err(error)) = history.map(|history| history.add(line)) {
            tracing::debug!(target: "hatchery::debugger", %error, "a line is not kept");
        }
    }

    fn complete(
        &self,
        terminal: &Terminal,
        editor: &mut Editor,
        prompt: &str,
    ) -> std::io::Result<()> {
        let values: Vec<_> = self.occasion.values.iter().map(|value| value.name).collect();
        let typed = editor.before_cursor();
        match commands::completions(&typed, &values).as_slice() {
            [] => return Ok(()),
            [rest] => editor.insert(&format!("{rest} ")),
            several => {
                let begun = typed.split_whitespace().last().unwrap_or_default();
                let several: Vec<_> = several.iter().map(|rest| format!("{begun}{rest}")).collect();
                terminal.show(&format!("\n{}\n", several.join("  ")))?;
            }
        }
        terminal.show(&editor.drawn(prompt, terminal.width()))
    }

    fn obey(&mut self, line: &str, terminal: &Terminal, keys: &Keys<'_>) -> std::io::Result<Said> {
        let command = match commands::parse(line) {
            Ok(Some(command)) => command,
            Ok(None) => return Ok(Said::Text(String::new())),
            Err(hint) => return Ok(Said::Text(format!("{hint}\n"))),
        };
        let occasion = &self.occasion;
        Ok(match command {
            Command::Help => Said::Text(commands::help()),
            Command::Where => Said::Text(occasion.head()),
            Command::Print(name) => Said::Text(occasion.values(name.as_deref())),
            Command::Backtrace(all) => Said::Text(occasion.backtrace(all)),
            Command::Error => Said::Text(occasion.error()),
            Command::Attach(debugger) => {
                Said::Text(attach(debugger, occasion.actor.pid, terminal, keys)?)
            }
            Command::Log(filter) => Said::Text(match log::set_log_filter(&filter) {
                Ok(()) => format!("actor `{}` logs by `{filter}`\n", occasion.actor.name),
                Err(error) => format!("{}\n", error.report().message),
            }),
            Command::Continue => Said::Leave(Verdict::Continue, String::new()),
            // What has crashed has failed already, and goes on with its own error.
            Command::Quit => Said::Leave(Verdict::Quit, String::new()),
            Command::Detach => {
                set_on(false);
                let text = format!("actor `{}` asks no more\n", occasion.actor.name);
                Said::Leave(Verdict::Continue, text)
            }
            Command::CancelActor | Command::CancelRoot => match self.wish(command) {
                Some(text) => Said::Leave(Verdict::Continue, text),
                None => Said::Over,
            },
            Command::Tree | Command::Tasks | Command::Contexts => {
                self.wish(command).map_or(Said::Over, Said::Text)
            }
        })
    }

    /// Has the actor say something; nothing where the task on whose behalf this is has gone.
    fn wish(&self, command: Command) -> Option<String> {
        let (reply, replied) = std::sync::mpsc::channel();
        self.wishes.send_blocking(Wish::Say(command, reply)).ok()?;
        replied.recv().ok()
    }
}

/// Lends the terminal to a debugger that looks at this process.
fn attach(
    debugger: &str,
    pid: u32,
    terminal: &Terminal,
    keys: &Keys<'_>,
) -> std::io::Result<String> {
    let arguments = ["-p".to_owned(), pid.to_string()];
    let ended = keys.without(|| terminal.lend(debugger, &arguments))?;
    Ok(match ended {
        Ok(status) => format!("{debugger} has ended ({status})\n"),
        Err(error) => {
            format!(
                "{debugger} could not be started: {error}; it has to be installed, and in the PATH\n"
            )
        }
    })
}

fn lock_past() -> std::sync::MutexGuard<'static, Option<Vec<String>>> {
    crate::driver::link::lock(&PAST)
}
