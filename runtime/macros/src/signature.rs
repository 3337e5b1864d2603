//! What a signature may look like, and the errors that say so.

use syn::{Error, FnArg, Ident, ItemFn, Pat, PatType, Result, ReturnType, Type};

/// Refuses what no endpoint, `main` or test can be.
pub(crate) fn check(function: &ItemFn, what: &str) -> Result<()> {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        let streams = matches!(&signature.output, ReturnType::Type(_, ty) if matches!(**ty, Type::ImplTrait(_)));
        let message = if streams {
            format!("{what} is an `async fn`; functions that return a stream are not supported yet")
        } else {
            format!("{what} is an `async fn`")
        };
        return Err(Error::new_spanned(signature.fn_token, message));
    }
    if !signature.generics.params.is_empty() {
        let message = format!("{what} cannot be generic: its name on the wire names one function");
        return Err(Error::new_spanned(&signature.generics, message));
    }
    if let syn::Safety::Unsafe(token) = &signature.safety {
        return Err(Error::new_spanned(token, format!("{what} cannot be unsafe")));
    }
    if let Some(token) = &signature.variadic {
        return Err(Error::new_spanned(token, format!("{what} takes a fixed number of arguments")));
    }
    Ok(())
}

/// The typed arguments.
pub(crate) fn arguments(function: &ItemFn) -> Result<Vec<PatType>> {
    let argument = |argument: &FnArg| match argument {
        FnArg::Receiver(receiver) => Err(Error::new_spanned(
            receiver,
            "an endpoint is a free function: it runs in a process that does not have `self`",
        )),
        FnArg::Typed(typed) => Ok(typed.clone()),
    };
    function.sig.inputs.iter().map(argument).collect()
}

/// Refuses an argument's type that cannot cross a process boundary.
pub(crate) fn check_crossing(argument: &PatType) -> Result<()> {
    match &*argument.ty {
        Type::Reference(reference) => {
            let message = match &*reference.elem {
                Type::Path(path) if path.path.is_ident("str") => {
                    "take a `String`: arguments cross a process boundary"
                }
                _ => "take the value itself: arguments cross a process boundary",
            };
            Err(Error::new_spanned(reference, message))
        }
        Type::ImplTrait(ty) => Err(Error::new_spanned(
            ty,
            "name the type: the other process has to know what it decodes",
        )),
        _ => Ok(()),
    }
}

/// A name for the argument in the signature of the call.
pub(crate) fn outer_name(argument: &PatType, index: usize) -> Ident {
    match &*argument.pat {
        Pat::Ident(pat) => pat.ident.clone(),
        _ => quote::format_ident!("argument_{index}"),
    }
}

/// Whether the return type is spelled as a `Result`.
pub(crate) fn returns_result(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => false,
        ReturnType::Type(_, ty) => match &**ty {
            Type::Path(path) => {
                path.path.segments.last().is_some_and(|segment| segment.ident == "Result")
            }
            _ => false,
        },
    }
}
