//! The private directory of a user: made, shared with others that come and go, swept, and refused where
//! it is not private.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use async_io::block_on;

use super::sockets::{Folder, both_speak};
use crate::driver::transport::listener::Listener;
use crate::driver::transport::origin::own_user;
use crate::driver::transport::place::Place;
use crate::driver::transport::trouble::Trouble;

#[test]
fn a_private_place_is_made_and_goes_with_its_last_file() {
    let folder = Folder::new();
    let place = Place::temporary(&folder.0);
    let one = block_on(Listener::private(&place)).unwrap();
    let other = block_on(Listener::private(&place)).unwrap();
    assert_ne!(one.address(), other.address());
    let about = fs::symlink_metadata(place.path()).unwrap();
    assert_eq!((about.mode() & 0o7777, about.uid()), (0o700, own_user()));
    both_speak(&one, one.address());
    drop(one);
    both_speak(&other, other.address());
    drop(other);
    assert!(folder.is_empty());
}

#[test]
fn a_private_place_that_comes_and_goes_is_always_there_for_whoever_listens() {
    let folder = Folder::new();
    let users: Vec<_> = (0..4)
        .map(|_| {
            let place = Place::temporary(&folder.0);
            std::thread::spawn(move || {
                for _ in 0..200 {
                    let listener = block_on(Listener::private(&place)).unwrap();
                    both_speak(&listener, listener.address());
                }
            })
        })
        .collect();
    users.into_iter().for_each(|user| user.join().unwrap());
    assert!(folder.is_empty());
}

/// What is left where somebody has bound a socket there and was killed.
fn stale(place: &Place, name: &str) {
    drop(UnixListener::bind(place.path().join(name)).unwrap());
}

#[test]
fn ipc_14_what_the_killed_have_left_is_swept_and_nothing_else() {
    let folder = Folder::new();
    let place = Place::temporary(&folder.0);
    assert_eq!(place.sweep().unwrap(), 0);
    assert!(folder.is_empty());
    let listener = block_on(Listener::private(&place)).unwrap();
    for number in 0..20 {
        stale(&place, &format!("{number:032x}.sock"));
    }
    let kept = ["other.sock".to_owned(), format!("{:032x}.sock", u128::MAX)];
    stale(&place, &kept[0]);
    fs::write(place.path().join(&kept[1]), b"content").unwrap();
    assert_eq!(place.sweep().unwrap(), 20);
    kept.iter().for_each(|name| fs::remove_file(place.path().join(name)).unwrap());
    // Who comes first is whoever speaks: nobody has had a look before.
    both_speak(&listener, listener.address());
    drop(listener);
    assert!(folder.is_empty());
}

/// Another tree that makes a socket holds the lock, and keeps nobody from its end.
#[test]
fn ipc_14_a_sweep_waits_for_nobody_and_the_next_has_what_it_left() {
    let folder = Folder::new();
    let place = Place::temporary(&folder.0);
    let (_base, held) = place.open().unwrap();
    let (born, unborn) = (format!("{:032x}.sock", 1), format!("{:032x}.new", 2));
    rustix::fs::flock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    stale(&place, &born);
    stale(&place, &unborn);
    assert_eq!(place.sweep().unwrap(), 1);
    let left = || fs::read_dir(place.path()).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(left().collect::<Vec<_>>(), [unborn.as_str()]);
    drop(held);
    assert_eq!(place.sweep().unwrap(), 1);
    assert!(folder.is_empty());
}

/// What is about to be listened at looks like what was, and is not taken for it.
#[test]
fn ipc_14_who_comes_while_others_sweep_is_there() {
    let folder = Folder::new();
    let place = Place::temporary(&folder.0);
    let comes = place.clone();
    let all = std::thread::spawn(move || {
        for _ in 0..500 {
            let listener = block_on(Listener::private(&comes)).unwrap();
            both_speak(&listener, listener.address());
        }
    });
    let mut swept = 0;
    while !all.is_finished() {
        swept += place.sweep().unwrap();
    }
    all.join().unwrap();
    assert_eq!(swept, 0, "what is in use was taken");
    assert!(folder.is_empty());
}

#[test]
fn f_31_a_place_that_is_not_private_is_refused_untouched() {
    let folder = Folder::new();
    let place = Place::temporary(&folder.0);
    let path = place.path();
    let refused = || block_on(Listener::private(&place)).unwrap_err();
    for mode in [0o755, 0o770, 0o701, 0o1777] {
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = refused();
        assert!(matches!(error.trouble(), Trouble::TooOpen(known) if *known == mode), "{error}");
        assert!(error.to_string().contains("`chmod 700` it"), "{error}");
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o7777, mode);
        fs::remove_dir(&path).unwrap();
    }
    File::create(&path).unwrap();
    let error = refused();
    assert!(error.to_string().contains("a regular file is there"), "{error}");
    fs::remove_file(&path).unwrap();
    let private = folder.join("elsewhere");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&private, &path).unwrap();
    let error = refused();
    assert!(error.to_string().contains("a symbolic link is there"), "{error}");
    assert!(fs::read_dir(&private).unwrap().next().is_none());
}

#[test]
fn f_31_a_place_that_others_may_replace_is_refused() {
    let folder = Folder::new();
    let base = folder.join("base");
    fs::create_dir(&base).unwrap();
    fs::set_permissions(&base, fs::Permissions::from_mode(0o777)).unwrap();
    let error = block_on(Listener::private(&Place::temporary(&base))).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Shared(0o777)), "{error}");
    assert!(fs::read_dir(&base).unwrap().next().is_none());
    // As /tmp is.
    fs::set_permissions(&base, fs::Permissions::from_mode(0o1777)).unwrap();
    block_on(Listener::private(&Place::temporary(&base))).unwrap();
}
