//! Which of the sockets with drawn names are listened at, as the kernel lists them: nobody is connected
//! to for that, and so nobody sees anybody come. What follows from it is decided elsewhere.
//!
//! A name that is listed is listened at. Of one that is not, nothing is known: whoever listens may be in
//! another network namespace, or have gone from the list's sight while it was read.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use crate::driver::identity;

/// The kernel's mark of a socket that takes connections.
const ACCEPTS: u64 = 1 << 16;

/// The part of a name that nobody else has: 32 digits.
pub(super) type Drawn = [u8; 32];

/// Behind them, in a directory: a socket that is listened at, or was.
pub(super) const SOCKET: &str = ".sock";
/// One that is not yet.
pub(super) const UNBORN: &str = ".new";

/// A name that nobody else has.
pub(super) fn draw() -> io::Result<String> {
    Ok(format!("{:032x}", identity::fresh()?))
}

/// The drawn part of a file's name that ends like this.
pub(super) fn drawn(name: &OsStr, end: &str) -> Option<Drawn> {
    let digits: Drawn = name.as_bytes().strip_suffix(end.as_bytes())?.try_into().ok()?;
    digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)
}

/// Those that are listened at, as far as can be told.
pub(super) fn all() -> BTreeSet<Drawn> {
    // Where there is no list, nothing is known.
    let list = fs::read("/proc/net/unix").unwrap_or_default();
    list.split(|byte| *byte == b'\n').filter_map(listed).collect()
}

/// What a line of the list says: an address, two numbers, flags, three numbers more, and the path by which
/// the socket was bound, whatever its file is called by now.
fn listed(line: &[u8]) -> Option<Drawn> {
    let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let flags = u64::from_str_radix(str::from_utf8(fields.nth(3)?).ok()?, 16).ok()?;
    let path = fields.nth(3)?;
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    drawn(OsStr::from_bytes(name), UNBORN).filter(|_| flags & ACCEPTS != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_told_from_whoever_only_has_the_name() {
        let name = "0123456789abcdef0123456789abcdef";
        let line = |flags: &str, path: &str| {
            let line = format!("000000009b51e1c4: 00000002 00000000 {flags} 0001 01 29190 {path}");
            listed(line.as_bytes())
        };
        let known = Some(name.as_bytes().try_into().unwrap());
        let below = format!("/proc/self/fd/4/{name}.new");
        assert_eq!(line("00010000", &below), known);
        assert_eq!(line("00010000", &format!("/a b/{name}.new")), None);
        assert_eq!(line("00010000", &format!("{name}.new")), known);
        // A connection that somebody took carries the name of who did.
        assert_eq!(line("00000000", &below), None);
        assert_eq!(line("00010000", &format!("/a/{name}.newer")), None);
        assert_eq!(line("00010000", &format!("/a/{}.new", name.replace('f', "g"))), None);
        let heads = ["Num       RefCount Protocol Flags    Type St Inode Path", "", "0 0 0"];
        assert!(heads.iter().all(|head| listed(head.as_bytes()).is_none()));
    }
}
