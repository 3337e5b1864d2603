//! Credentials and where they lie.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write as _, pipe as os_pipe};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::*;

/// A folder of one test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("hatchery-tls-{:032x}", crate::driver::identity::fresh().unwrap());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn who_has_credentials_is_let_in() {
    let authority = Authority::new().unwrap();
    let made = authority.credentials("guest").unwrap();
    let read = Credentials::from_text(made.to_text().expose()).unwrap();
    assert_eq!(read.own(), made.own());
    assert_eq!(read.own().name, "guest");
    let (dialed, accepted) = shake(&read.keys().unwrap(), &keys(&authority, 1), Some(1));
    assert_eq!((dialed.unwrap().1.uuid, &accepted.unwrap().1), (1, made.own()));
    let others = authority.credentials("guest").unwrap();
    assert_ne!(others.own().uuid, made.own().uuid);
    let (dialed, _) = shake(&read.keys().unwrap(), &others.keys().unwrap(), None);
    assert_eq!(&dialed.unwrap().1, others.own());
}

#[test]
fn credentials_do_not_hold_the_authority() {
    let authority = Authority::new().unwrap();
    let text = authority.credentials("guest").unwrap().to_text();
    let secret = authority.to_secret();
    assert!(!text.expose().windows(32).any(|part| part == &secret.expose()[1..]));
    let sections =
        super::super::pem::sections(std::str::from_utf8(text.expose()).unwrap()).unwrap();
    let within = |(_, one): &(&str, Secret)| {
        one.expose().windows(32).any(|part| part == &secret.expose()[1..])
    };
    assert!(!sections.iter().any(within));
    assert_eq!(sections.len(), 3);
}

#[test]
fn other_programs_read_them() {
    let text = Authority::new().unwrap().credentials("guest").unwrap().to_text();
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["x509", "-noout", "-subject", "-enddate", "-ext", "subjectAltName"]);
    let piped = std::process::Stdio::piped;
    let Ok(mut openssl) = openssl.stdin(piped()).stdout(piped()).stderr(piped()).spawn() else {
        // Not everywhere; that it is PEM is tested beside it.
        return;
    };
    openssl.stdin.take().unwrap().write_all(text.expose()).unwrap();
    let said = openssl.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for part in ["guest", "9999", "member.hatchery.invalid"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_file_is_new_and_private() {
    let folder = Folder::new();
    let made = Authority::new().unwrap().credentials("guest").unwrap();
    let path = folder.file("a");
    made.write_new(&path).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o600);
    assert_eq!(Credentials::read(&path).unwrap().own(), made.own());
    // Never over another file, nor through a link.
    let before = fs::read(&path).unwrap();
    let link = folder.file("link");
    symlink(folder.file("elsewhere"), &link).unwrap();
    for taken in [&path, &link] {
        let error = made.write_new(taken).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains(taken.to_str().unwrap()), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(!folder.file("elsewhere").exists());
    let error = made.write_new(&folder.file("none/a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_file_that_is_not_private_is_refused() {
    let folder = Folder::new();
    let path = folder.file("a");
    Authority::new().unwrap().credentials("guest").unwrap().write_new(&path).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666, 0o777] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = Credentials::read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains(&format!("mode {mode:04o}")), "{error}");
        let file: OwnedFd = fs::File::open(&path).unwrap().into();
        let error = Credentials::read_from(file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    let link = folder.file("link");
    symlink(&path, &link).unwrap();
    // As stores of secrets lay theirs out.
    Credentials::read(&link).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        let error = Credentials::read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("belongs to user 65534"), "{error}");
    }
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = Folder::new();
    let path = folder.file("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
    let paths = [path, PathBuf::from("/dev/zero"), folder.0.clone()];
    for path in paths {
        let error = Credentials::read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    }
    let zeros: OwnedFd = fs::File::open("/dev/zero").unwrap().into();
    assert_eq!(Credentials::read_from(zeros).unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn credentials_come_by_descriptors() {
    let made = Authority::new().unwrap().credentials("guest").unwrap();
    let text = made.to_text();
    let (read, mut write) = os_pipe().unwrap();
    write.write_all(text.expose()).unwrap();
    drop(write);
    assert_eq!(Credentials::read_from(read.into()).unwrap().own(), made.own());
    let (read, mut write) = UnixStream::pair().unwrap();
    write.write_all(text.expose()).unwrap();
    drop(write);
    assert_eq!(Credentials::read_from(read.into()).unwrap().own(), made.own());
    // A file that has no name any more: nobody else can open it, whatever its mode.
    let folder = Folder::new();
    let path = folder.file("a");
    fs::write(&path, text.expose()).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let file = fs::File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(Credentials::read_from(file.into()).unwrap().own(), made.own());
}

#[test]
fn what_are_no_credentials_is_said_and_not_quoted() {
    let authority = Authority::new().unwrap();
    let text = |name: &str| {
        let text = authority.credentials(name).unwrap().to_text();
        std::str::from_utf8(text.expose()).unwrap().to_owned()
    };
    let (one, two) = (text("one"), text("two"));
    let other = Authority::new().unwrap().credentials("one").unwrap().to_text();
    let other = std::str::from_utf8(other.expose()).unwrap().to_owned();
    let parts = |text: &str| -> Vec<String> {
        text.split_inclusive("-----\n").map(str::to_owned).collect()
    };
    // Each part is a line of dashes with what stands before it.
    let [one_parts, two_parts, other_parts] = [&one, &two, &other].map(|text| parts(text));
    assert_eq!(one_parts.len(), 6);
    let with = |at: usize, from: &[String]| {
        let mut mixed = one_parts.clone();
        mixed[at..at + 2].clone_from_slice(&from[at..at + 2]);
        mixed.concat()
    };
    let mut wrong = vec![with(4, &two_parts), with(0, &two_parts), with(2, &other_parts)];
    wrong.extend([with(0, &other_parts), one_parts[..4].concat(), one_parts[2..].concat()]);
    wrong.extend(["", "hello", "\u{0}"].map(str::to_owned));
    wrong.extend(
        (1..one.len()).step_by(40).filter(|at| at + 2 < one.len()).map(|at| one[..at].to_owned()),
    );
    for wrong in wrong {
        let error = Credentials::from_text(wrong.as_bytes()).map(|_| wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let said = error.to_string();
        for line in one.lines().filter(|line| line.len() > 20 && !line.starts_with('-')) {
            assert!(!said.contains(line), "{said}");
        }
    }
    assert!(Credentials::from_text(b"\xff").is_err());
    Credentials::from_text(one.as_bytes()).unwrap();
    // Too much of it.
    let folder = Folder::new();
    let path = folder.file("large");
    fs::write(&path, format!("{one}{}", "x\n".repeat(40_000))).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let error = Credentials::read(&path).unwrap_err().to_string();
    assert!(error.contains("more than 65536 bytes"), "{error}");
}
