//! What a program that no actor started needs to join a tree, and the file that it comes in. Issues
//! nothing: what is here lets one actor in, and nobody else.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use futures_rustls::pki_types::CertificateDer;
use rustix::fs::OFlags;
use webpki::{EndEntityCert, KeyUsage};

use super::certificate::{self, Proven, SomeDay};
use super::keys::Keys;
use super::pem;
use super::secret::Secret;

const CERTIFICATE: &str = "CERTIFICATE";
const KEY: &str = "PRIVATE KEY";
/// The largest file: three sections of at most 1 KiB, and whatever a person wrote around them.
const MOST: u64 = 64 * 1024;

/// What another program needs to join a tree: a certificate of its own with its private key, and the
/// certificate of the tree's authority, without the authority's key.
///
/// As text it is PEM, which other tools read too: the actor's certificate, the authority's, and the key in
/// PKCS #8, in this order; what stands outside of them is skipped. The actor's name and uuid are in its
/// certificate. Whoever has the text is that actor: two programs with the same one cannot speak with each
/// other, and a tree cannot tell them apart.
pub(crate) struct Credentials {
    authority: CertificateDer<'static>,
    leaf: CertificateDer<'static>,
    seed: Secret,
    own: Proven,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Credentials {
    pub(super) fn new(
        authority: CertificateDer<'static>,
        leaf: CertificateDer<'static>,
        seed: Secret,
    ) -> io::Result<Self> {
        let own = fits(&authority, &leaf).map_err(|what| {
            io::Error::new(ErrorKind::InvalidData, format!("these are no credentials: {what}"))
        })?;
        Ok(Self { authority, leaf, seed, own })
    }

    /// Whose they are.
    pub(crate) fn own(&self) -> &Proven {
        &self.own
    }

    /// The keys to come in with.
    ///
    /// # Errors
    ///
    /// Of the kind `InvalidData` where the private key is not the certificate's.
    pub(crate) fn keys(&self) -> io::Result<Keys> {
        Keys::new(&self.authority, self.leaf.clone(), &self.seed)
    }

    /// As text, for whoever carries it elsewhere: over a pipe, or into a store of secrets.
    pub(crate) fn to_text(&self) -> Secret {
        let head = format!("hatchery credentials of {}\n", self.own);
        let key = certificate::pkcs8(&self.seed);
        let sections =
            [(CERTIFICATE, &*self.leaf), (CERTIFICATE, &*self.authority), (KEY, key.expose())];
        let size: usize = sections.iter().map(|(label, bytes)| pem::size(label, bytes)).sum();
        let mut text = Vec::with_capacity(head.len() + size);
        text.extend_from_slice(head.as_bytes());
        for (label, bytes) in sections {
            pem::put(&mut text, label, bytes);
        }
        Secret::new(text)
    }

    /// From text.
    ///
    /// # Errors
    ///
    /// Of the kind `InvalidData`, with what is wrong; nothing is quoted.
    pub(crate) fn from_text(text: &[u8]) -> io::Result<Self> {
        let wrong = |what: String| {
            let what = format!(
                "these are no credentials: {what}; they are two sections `{CERTIFICATE}` and one \
                 `{KEY}`, as the tree's root has written them"
            );
            io::Error::new(ErrorKind::InvalidData, what)
        };
        let text = std::str::from_utf8(text).map_err(|_| wrong("they are no text".to_owned()))?;
        let sections = pem::sections(text).map_err(wrong)?;
        match sections.as_slice() {
            [(CERTIFICATE, leaf), (CERTIFICATE, authority), (KEY, key)] => {
                let seed = certificate::seed(key.expose())
                    .ok_or_else(|| wrong("the key is of another kind".to_owned()))?;
                let [leaf, authority] =
                    [leaf, authority].map(|one| CertificateDer::from(one.expose().to_vec()));
                let read = Self::new(authority, leaf, seed)?;
                // That the key is the certificate's, this finds out.
                read.keys()?;
                Ok(read)
            }
            _ => Err(wrong("there are others, or not these".to_owned())),
        }
    }

    /// Writes them to a new file that nobody but its owner can read. Blocks.
    ///
    /// # Errors
    ///
    /// Of the kind `AlreadyExists` where there is anything of this name, a link that leads nowhere
    /// included; and what the system says. Then no file is left that this has made.
    pub(crate) fn write_new(&self, path: &Path) -> io::Result<()> {
        let failed = |error: io::Error| {
            let what = format!("the credentials were not written to {}: {error}", path.display());
            io::Error::new(error.kind(), what)
        };
        // The mode is the file's from the beginning; a mask takes away only.
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        let text = self.to_text();
        file.write_all(text.expose()).and_then(|()| file.sync_all()).map_err(|error| {
            // It is ours: there was none before.
            let _ = fs::remove_file(path);
            failed(error)
        })
    }

    /// Reads them from a file that only this user, and root, can read. Blocks.
    ///
    /// # Errors
    ///
    /// Of the kind `PermissionDenied` where others may read or write the file, or it is another user's;
    /// `InvalidData` where it is no such file; and what the system says.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let failed = |error: io::Error| {
            let what = format!("no credentials were read from {}: {error}", path.display());
            io::Error::new(error.kind(), what)
        };
        // Not to wait for whoever would write to a pipe of this name.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            let what = "it is no regular file; give a pipe as a descriptor";
            return Err(failed(io::Error::new(ErrorKind::InvalidData, what)));
        }
        is_private(&metadata).and_then(|()| Self::from_file(file)).map_err(failed)
    }

    /// Reads them from a pipe, a socket or a file that was inherited, up to its end. Blocks until then.
    ///
    /// # Errors
    ///
    /// As of [`read`](Self::read); a file that has no name any more is private to whoever was given it.
    pub(crate) fn read_from(descriptor: OwnedFd) -> io::Result<Self> {
        let failed = |error: io::Error| {
            let what = format!("no credentials were read from an inherited descriptor: {error}");
            io::Error::new(error.kind(), what)
        };
        let file = File::from(descriptor);
        let metadata = file.metadata().map_err(failed)?;
        let kind = metadata.file_type();
        if kind.is_file() && metadata.nlink() > 0 {
            is_private(&metadata).map_err(failed)?;
        } else if !(kind.is_file() || kind.is_fifo() || kind.is_socket()) {
            let what = "it is no file, pipe or socket";
            return Err(failed(io::Error::new(ErrorKind::InvalidData, what)));
        }
        Self::from_file(file).map_err(failed)
    }

    fn from_file(file: File) -> io::Result<Self> {
        // At once as large as it may become, so that no part is left behind unwiped.
        let most = usize::try_from(MOST).unwrap_or(usize::MAX);
        let mut text = Vec::with_capacity(most.saturating_add(1));
        let read = file.take(MOST + 1).read_to_end(&mut text);
        let text = Secret::new(text);
        if read? > most {
            let what = format!("there are more than {MOST} bytes: these are no credentials");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        Self::from_text(text.expose())
    }
}

/// Whose credentials these are, if the authority has issued them.
fn fits(
    authority: &CertificateDer<'_>,
    leaf: &CertificateDer<'_>,
) -> Result<Proven, Box<dyn std::error::Error>> {
    let anchor = webpki::anchor_from_trusted_cert(authority)?;
    let certificate = EndEntityCert::try_from(leaf)?;
    certificate.verify_for_usage(
        &[webpki::ring::ED25519],
        &[anchor],
        &[],
        SomeDay::TIME,
        KeyUsage::client_auth(),
        None,
        None,
    )?;
    Proven::of(leaf).ok_or_else(|| "the certificate names no actor".into())
}

/// Whether nobody else may read a file, or put another text in it.
fn is_private(metadata: &Metadata) -> io::Result<()> {
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    let own = rustix::process::geteuid().as_raw();
    let what = if owner != own && owner != 0 {
        format!("it belongs to user {owner} and this process is user {own}'s")
    } else if mode & 0o077 != 0 {
        format!(
            "others may use it (mode {mode:04o}): take that away (`chmod 600`), and have new \
                 credentials made if somebody has read it"
        )
    } else {
        return Ok(());
    };
    Err(io::Error::new(ErrorKind::PermissionDenied, what))
}
