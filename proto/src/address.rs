//! Where an actor can be reached, and how that is written. Opens nothing and resolves nothing.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where an actor listens.
///
/// | text | what it is |
/// | --- | --- |
/// | `unix:/run/user/1000/a.sock` | a Unix socket, by its absolute path |
/// | `tls+unix:/srv/a.sock` | the same, with mutual TLS on it |
/// | `tcp:host:port`, `tcp:[::1]:port` | TCP, on which both ends always prove who they are, by TLS |
/// | `quic:host:port` | QUIC, the same |
///
/// A `port` of 0 is any that is free, and only makes sense to listen on. Text that is parsed is
/// printed again as it was, but for leading zeros of a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A Unix socket.
    Unix {
        /// Its absolute path.
        path: String,
        /// Whether both ends prove who they are, beyond which user they are.
        tls: bool,
    },
    /// TCP, with mutual TLS.
    Tcp {
        /// A name, or the address in numbers; one of version 6 without its brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// QUIC, which has mutual TLS in it.
    Quic {
        /// As of [`Tcp`](Self::Tcp).
        host: String,
        /// The port.
        port: u16,
    },
}

/// How far away an address is, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distance {
    /// By a file of this machine.
    File,
    /// By this machine's network with itself.
    Loopback,
    /// By a network.
    Network,
}

impl Address {
    /// The longest text of an address, in bytes: more than any path or name that a system takes.
    pub const MOST: usize = 512;

    /// A Unix socket without TLS.
    #[must_use]
    pub fn unix(path: impl Into<String>) -> Self {
        Self::Unix { path: path.into(), tls: false }
    }

    /// How far away it is, as far as can be told from its text.
    #[must_use]
    pub fn distance(&self) -> Distance {
        match self {
            Self::Unix { .. } => Distance::File,
            Self::Tcp { host, .. } | Self::Quic { host, .. } => {
                let near = host == "localhost" || host == "::1" || host.starts_with("127.");
                if near { Distance::Loopback } else { Distance::Network }
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Unix { path, tls } => {
                return write!(f, "{}unix:{path}", if *tls { "tls+" } else { "" });
            }
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Quic { host, port } => ("quic", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}:[{host}]:{port}")
        } else {
            write!(f, "{scheme}:{host}:{port}")
        }
    }
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddress {
    text: String,
    why: &'static str,
}

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no address: {}", self.text.escape_debug(), self.why)
    }
}

impl core::error::Error for NoAddress {}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        parse(text).map_err(|why| {
            // What is quoted is bounded, whatever was given.
            NoAddress { text: text.chars().take(64).collect(), why }
        })
    }
}

fn parse(text: &str) -> Result<Address, &'static str> {
    const FORMS: &str =
        "it begins with `unix:`, `tls+unix:`, `tcp:` or `quic:`, as in `tcp:host:port`";
    if text.len() > Address::MOST {
        return Err("it is longer than 512 bytes");
    }
    let (scheme, rest) = text.split_once(':').ok_or(FORMS)?;
    match scheme {
        "unix" => Ok(Address::Unix { path: path(rest)?, tls: false }),
        "tls+unix" => Ok(Address::Unix { path: path(rest)?, tls: true }),
        "tcp" => host(rest).map(|(host, port)| Address::Tcp { host, port }),
        "quic" => host(rest).map(|(host, port)| Address::Quic { host, port }),
        _ => Err(FORMS),
    }
}

fn path(text: &str) -> Result<String, &'static str> {
    if !text.starts_with('/') {
        return Err("the path of a Unix socket is absolute here, since actors may have different \
                    working directories");
    }
    if text.contains('\0') {
        return Err("a path has no zero byte");
    }
    Ok(text.to_owned())
}

fn host(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").ok_or("`]` and a port end `[host]:port`")?,
        None => text.rsplit_once(':').ok_or("a port is missing, as in `tcp:host:port`")?,
    };
    let is_bracketed = text.starts_with('[');
    if host.is_empty() {
        return Err("a host is missing, as in `tcp:host:port`");
    }
    if host.contains(':') != is_bracketed {
        return Err("a host with colons, and no other, stands in brackets, as in `tcp:[::1]:port`");
    }
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "[]/@".contains(c)) {
        return Err("the host has a character that no host has");
    }
    // `parse` alone would take a sign.
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the port is no number");
    }
    let port = port.parse().map_err(|_| "the port is above 65535")?;
    Ok((host.to_owned(), port))
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the text of an address")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn disc_18_what_is_parsed_is_printed() {
        for text in [
            "unix:/run/a b.sock",
            "tls+unix:/srv/ü.sock",
            "tcp:localhost:0",
            "tcp:[::1]:65535",
            "quic:10.0.0.1:4433",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            let bytes = postcard::to_allocvec(&address).unwrap();
            assert_eq!(postcard::from_bytes::<Address>(&bytes), Ok(address));
        }
        assert_eq!("tcp:h:007".parse::<Address>().unwrap().to_string(), "tcp:h:7");
    }

    #[test]
    fn disc_18_what_is_no_address_says_why() {
        for (text, why) in [
            ("", "begins with"),
            ("/run/a.sock", "begins with"),
            ("http:host:80", "begins with"),
            ("tls+tcp:host:80", "begins with"),
            ("unix:", "absolute"),
            ("unix:a.sock", "absolute"),
            ("unix:@abstract", "absolute"),
            ("unix:/a\0b", "zero byte"),
            ("tcp:host", "port is missing"),
            ("tcp::80", "host is missing"),
            ("tcp:[]:80", "host is missing"),
            ("tcp:::1:80", "in brackets"),
            ("tcp:[host]:80", "in brackets"),
            ("tcp:[::1]80", "end `[host]:port`"),
            ("tcp:a host:80", "character"),
            ("tcp:host:", "no number"),
            ("tcp:host:+80", "no number"),
            ("tcp:host:65536", "above 65535"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let long = alloc::format!("unix:/{}", "a".repeat(Address::MOST));
        assert!(long.parse::<Address>().unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn disc_10_files_are_nearest() {
        let mut known = ["tcp:example.org:1", "quic:[::1]:1", "unix:/a", "tcp:127.0.0.1:1"]
            .map(|text| text.parse::<Address>().unwrap());
        known.sort_by_key(Address::distance);
        let known = known.map(|address| address.to_string());
        assert_eq!(known, ["unix:/a", "quic:[::1]:1", "tcp:127.0.0.1:1", "tcp:example.org:1"]);
    }
}
