//! Where the programs of the workspace are, built on demand in the profile of the test that asks.
//!
//! `cargo test --workspace` builds the examples beside the tests; a test of one package alone does
//! not. A program is built again when a source that it was made of is newer than itself.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// What kind of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// In a package's `examples`.
    Example,
    /// In a package's `src/bin`.
    Bin,
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let own = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let own = own.filter(|folder| folder.join("src/leaks.rs").is_file());
    let own = own.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    own.parent().map(Path::to_owned).unwrap_or(own)
}

/// Where cargo puts what it builds, this program too.
///
/// # Panics
///
/// Panics where this program has no path.
pub fn target() -> PathBuf {
    Place::of(&env::current_exe().expect("the path of this program")).target
}

/// The file of a program, built if it is missing or old. Each is looked at once in a process.
///
/// # Panics
///
/// Panics with what cargo wrote where it cannot be built.
pub fn built(kind: Kind, name: &str) -> PathBuf {
    static KNOWN: Mutex<BTreeMap<(Kind, String), PathBuf>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = known.get(&(kind, name.to_owned())) {
        return path.clone();
    }
    let place = Place::of(&env::current_exe().expect("the path of this program"));
    let path = place.program(kind, name);
    if !is_fresh(&path) {
        place.build(kind, name);
        assert!(path.is_file(), "cargo built {name}, but not at {}", path.display());
    }
    known.insert((kind, name.to_owned()), path.clone());
    path
}

/// The folders that cargo built a program into.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    target: PathBuf,
    triple: Option<String>,
    /// The folder's name, which differs from the profile's for `dev`.
    profile: String,
}

impl Place {
    /// From the path of a program in `TARGET[/TRIPLE]/PROFILE[/deps|/examples]`.
    fn of(program: &Path) -> Self {
        let mut folder = program.parent().expect("a program in a folder");
        if folder.ends_with("deps") || folder.ends_with("examples") {
            folder = folder.parent().expect("a profile's folder");
        }
        let name = |path: &Path| {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let profile = name(folder);
        let above = folder.parent().expect("a target folder");
        let is_target = |folder: &Path| {
            folder.join("CACHEDIR.TAG").is_file() || folder.join(".rustc_info.json").is_file()
        };
        match above.parent() {
            Some(target) if !is_target(above) && is_target(target) => {
                Self { target: target.to_owned(), triple: Some(name(above)), profile }
            }
            _ => Self { target: above.to_owned(), triple: None, profile },
        }
    }

    fn program(&self, kind: Kind, name: &str) -> PathBuf {
        let mut path = self.target.clone();
        path.extend(&self.triple);
        path.push(&self.profile);
        if kind == Kind::Example {
            path.push("examples");
        }
        path.join(name)
    }

    /// In the whole workspace, so that its packages keep the features that its tests have.
    fn build(&self, kind: Kind, name: &str) {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(workspace()).args(["build", "--workspace", "--target-dir"]);
        command.arg(&self.target);
        match kind {
            Kind::Example => command.args(["--example", name]),
            Kind::Bin => command.args(["--bin", name]),
        };
        if let Some(triple) = &self.triple {
            command.args(["--target", triple]);
        }
        let profile = if self.profile == "debug" { "dev" } else { &self.profile };
        command.args(["--profile", profile]).stdin(Stdio::null());
        let output = command.output().expect("cargo runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} cannot be built:\n{complaint}");
    }
}

/// Whether a program is there and no source of it is newer: of those that cargo lists beside it or,
/// as it lists none for a program that it built along with a test, of all there are.
fn is_fresh(program: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    let Some(made) = changed(program) else { return false };
    let is_older = |source: &PathBuf| changed(source).is_some_and(|at: SystemTime| at <= made);
    match fs::read_to_string(program.with_extension("d")) {
        Ok(list) => sources(&list).iter().all(is_older),
        Err(_) => {
            let folders = ["proto/src", "runtime/src", "runtime/macros/src", "tests/src"];
            let mut all = vec![workspace().join("Cargo.lock")];
            folders.iter().for_each(|folder| files(&workspace().join(folder), &mut all));
            all.iter().all(is_older)
        }
    }
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    for path in entries.map(|entry| entry.expect("a source").path()) {
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// What follows the colon of `program: source source …`, where a blank in a path is escaped.
fn sources(list: &str) -> Vec<PathBuf> {
    let line = list.lines().next().unwrap_or_default();
    let Some((_, rest)) = line.split_once(": ") else { return Vec::new() };
    let rest = rest.replace("\\ ", "\0");
    rest.split_ascii_whitespace().map(|path| PathBuf::from(path.replace('\0', " "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_sources_is_read_with_its_escapes() {
        let list = "/t/debug/examples/a: /s/a\\ b.rs /s/lib.rs\n\n/s/lib.rs:\n";
        assert_eq!(sources(list), ["/s/a b.rs", "/s/lib.rs"].map(PathBuf::from));
        assert_eq!(sources(""), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_place_of_a_test_is_that_of_its_examples() {
        let place = Place::of(Path::new("/t/release/deps/leaks-0123"));
        assert_eq!(place.program(Kind::Example, "a"), Path::new("/t/release/examples/a"));
        assert_eq!(place.program(Kind::Bin, "b"), Path::new("/t/release/b"));
    }

    #[test]
    fn a_missing_program_is_not_fresh() {
        assert!(!is_fresh(Path::new("/no/such/program")));
    }

    #[test]
    fn a_program_without_a_list_is_as_fresh_as_the_newest_source_of_all() {
        let folder = env::temp_dir().join(format!("fresh-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let program = folder.join("program");
        let made = |at: SystemTime| fs::File::create(&program).unwrap().set_modified(at).unwrap();
        made(SystemTime::UNIX_EPOCH);
        assert!(!is_fresh(&program));
        made(SystemTime::now() + std::time::Duration::from_secs(60));
        assert!(is_fresh(&program));
        let mut all = Vec::new();
        files(&workspace().join("tests/src"), &mut all);
        assert!(all.contains(&workspace().join("tests/src/build.rs")));
        assert!(all.contains(&workspace().join("tests/src/bin/chaos/main.rs")), "{all:?}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
