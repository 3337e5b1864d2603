//! What a signature may look like, and the errors that say so.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Error, FnArg, GenericArgument, Ident, ItemFn, Pat, PatType, PathArguments, Result, ReturnType,
    Type, TypeGroup, TypeParamBound, TypeParen,
};

/// Refuses what no endpoint, `main` or test can be.
pub(crate) fn check(function: &ItemFn, what: &str) -> Result<()> {
    let signature = &function.sig;
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

/// Refuses a function that is not `async`; `why` goes on where that was said.
pub(crate) fn check_async(function: &ItemFn, what: &str, why: &str) -> Result<()> {
    match function.sig.asyncness {
        Some(_) => Ok(()),
        None => {
            let message = format!("{what} is an `async fn`{why}");
            Err(Error::new_spanned(function.sig.fn_token, message))
        }
    }
}

/// What a return type without a name says of itself.
pub(crate) enum Unnamed {
    /// It has one.
    No,
    /// It is this, with the box `boxed` of its items for an `impl …<Item = T>`.
    Boxed(TokenStream),
    /// It does not say what the items are, if it is a stream.
    Unknown,
}

/// What the return type says of its items, where it is an `impl …` or a `Result` of one.
pub(crate) fn unnamed(ty: &Type, boxed: impl Fn(&Type) -> Type) -> Unnamed {
    let inner = unwrapped(ty);
    if let Some(items) = items_of(inner) {
        return Unnamed::Boxed(boxed(items).into_token_stream());
    }
    if let Type::Path(path) = inner {
        let mut path = path.clone();
        let result = path.path.segments.last_mut().filter(|last| last.ident == "Result");
        if let Some(PathArguments::AngleBracketed(arguments)) =
            result.map(|last| &mut last.arguments)
            && let Some(GenericArgument::Type(held)) = arguments.args.first_mut()
            && let Some(items) = items_of(unwrapped(held))
        {
            *held = boxed(items);
            if !has_impl(path.to_token_stream()) {
                return Unnamed::Boxed(path.into_token_stream());
            }
        }
    }
    if has_impl(inner.to_token_stream()) { Unnamed::Unknown } else { Unnamed::No }
}

/// A type without what a macro may have put around it.
fn unwrapped(mut ty: &Type) -> &Type {
    while let Type::Paren(TypeParen { elem, .. }) | Type::Group(TypeGroup { elem, .. }) = ty {
        ty = elem;
    }
    ty
}

/// The `T` of an `impl …<Item = T>`.
fn items_of(ty: &Type) -> Option<&Type> {
    let Type::ImplTrait(opaque) = ty else { return None };
    opaque.bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let PathArguments::AngleBracketed(arguments) = &bound.path.segments.last()?.arguments
        else {
            return None;
        };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(bound) if bound.ident == "Item" => Some(&bound.ty),
            _ => None,
        })
    })
}

/// Whether an `impl …` is somewhere in there.
fn has_impl(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "impl",
        TokenTree::Group(group) => has_impl(group.stream()),
        _ => false,
    })
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
