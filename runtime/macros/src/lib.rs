//! The attribute macros of `hatchery`. Use them through that crate, which documents how they are
//! used together; what they expand to is no one else's interface.

mod endpoint;
mod entry;
mod options;
mod signature;

use proc_macro::TokenStream;

/// Makes a function callable in other actors, or one that yields a stream openable from there.
///
/// `async fn add(a: i64, b: i64) -> i64` becomes `fn add(a: i64, b: i64) -> Call<add>`: a call that
/// has not been made yet. A portal runs it over there, `.await` runs it here; the type `add` names
/// the endpoint, for instance in `.expose::<add>()`. Until then it is a value, which can be stored
/// and passed on.
///
/// Arguments and result cross a process boundary: their types own their data and implement serde's
/// traits. A `Result<T, E>` whose `E` does too gives the error back typed.
///
/// # Streams
/// A function, `async` or not, that returns a stream is opened with `Portal::open_stream_from`, and
/// its items cross one by one. Whether it does is asked of the type, not of how it is written:
/// `impl Stream<Item = T>`, `Pin<Box<dyn Stream<Item = T> + Send>>`, `futures_lite::stream::Boxed<T>`,
/// an alias of one, or any type that is a stream. A stream of `Result<T, E>` ends with its first
/// `Err`, which is the producer's failure; so is that of a function which returns a `Result` of a
/// stream, such as `Result<impl Stream<Item = T>, E>`, and could not open it.
///
/// What cannot be told does not compile, and says what to write: `#[endpoint(stream)]` or
/// `#[endpoint(call)]` for a type that is a stream and could be sent whole as well;
/// `#[endpoint(stream, item = T)]` where the items have no name in the signature, such as an
/// `impl Trait` with `Stream` behind it, or where a further attribute makes a stream of the function.
///
/// # Options
/// `name = "…"`, the name on the wire instead of the function's path; `schema = N`, to be changed
/// when the meaning changes and the signature does not; `crate = path`, where `hatchery` is named
/// otherwise; `call`, `stream` and `item = T` as above.
#[proc_macro_attribute]
pub fn endpoint(options: TokenStream, item: TokenStream) -> TokenStream {
    endpoint::expand(options.into(), item.into(), endpoint::Kind::Endpoint)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes an `async fn` openable as a context from other actors.
///
/// As `endpoint`, with a first argument of type `Context<Starts<A>, Sends<B>, Receives<C>>`: the
/// callee's end, which the call leaves out. It sends a first value of type `A`, then values of `B`
/// and receives values of `C` on its stream, and ends with the function's return.
#[proc_macro_attribute]
pub fn context(options: TokenStream, item: TokenStream) -> TokenStream {
    endpoint::expand(options.into(), item.into(), endpoint::Kind::Context)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes an `async fn main` the root actor of a program, and its `main` the entry of its actors.
///
/// The body runs in a root actor on this thread. Ctrl-C, SIGTERM and SIGHUP end the whole tree
/// gracefully and give exit code 128 and the signal's number. May return nothing or a `Result` whose
/// error a `hatchery::Error` turns into.
///
/// Options: `options = EXPR`, the root's `hatchery::Options`; `crate = path`.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand_main(options.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes an `async fn` a test that runs as a root actor and fails if it leaves anything behind.
///
/// Needs the feature `test-support`, by which the test binary can be run as an actor. Works under
/// `cargo test` and nextest, in unit tests and integration tests. Tests of one process take turns,
/// since a process is one actor. Other attributes, such as `#[should_panic]`, are kept.
///
/// Options: `options = EXPR`, the root's `hatchery::Options`; `crate = path`.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand_test(options.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
