//! `#[main]` and `#[test]`: functions that run as a root actor.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ItemFn, Result, parse2};

use crate::options::Options;
use crate::signature;

pub(crate) fn expand_main(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options, &["options"])?;
    let function = parse(item, "`main`")?;
    let (library, of_root) = (options.library(), options.of_root());
    let ItemFn { attrs, vis, sig, block, .. } = &function;
    let (name, output) = (&sig.ident, &sig.output);
    if name != "main" {
        return Err(Error::new_spanned(name, "this attribute is for the function `main`"));
    }
    Ok(quote! {
        #(#attrs)*
        #vis fn main() -> ::std::process::ExitCode {
            // In a process that was started as an actor this runs the actor and does not return.
            #library::init();
            async fn root() #output #block
            #library::__private::main(#of_root, root())
        }
    })
}

pub(crate) fn expand_test(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(options, &["options"])?;
    let function = parse(item, "a test")?;
    let (library, of_root) = (options.library(), options.of_root());
    let ItemFn { attrs, vis, sig, block, .. } = &function;
    let (name, output) = (&sig.ident, &sig.output);
    // libtest takes a value from a test only where it does not have to panic.
    let panics = attrs.iter().any(|known| known.path().is_ident("should_panic"));
    let (returns, check) = if panics {
        (
            quote!(),
            quote!(if let ::core::result::Result::Err(error) = outcome {
                ::core::panic!("{error:?}");
            }),
        )
    } else {
        (quote!(-> #library::__private::TestResult), quote!(outcome))
    };
    Ok(quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis fn #name() #returns {
            #[#library::__private::linkme::distributed_slice(#library::__private::TESTS)]
            #[linkme(crate = #library::__private::linkme)]
            static ENTRY: &'static str =
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name));
            async fn body() #output #block
            let outcome = #library::__private::test(ENTRY, #of_root, body);
            #check
        }
    })
}

fn parse(item: TokenStream, what: &str) -> Result<ItemFn> {
    let function: ItemFn = parse2(item)?;
    signature::check(&function, what)?;
    signature::check_async(&function, what, "")?;
    match function.sig.inputs.first() {
        None => Ok(function),
        Some(first) => Err(Error::new_spanned(first, format!("{what} takes no arguments"))),
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::{expand_main, expand_test};

    #[test]
    fn main_goes_through_the_entry_first() {
        let expanded = expand_main(
            quote!(),
            quote!(
                async fn main() {}
            ),
        )
        .unwrap()
        .to_string();
        let entry = expanded.find(":: hatchery :: init").unwrap();
        assert!(entry < expanded.find("__private :: main").unwrap(), "{expanded}");
    }

    #[test]
    fn arguments_are_refused() {
        let refused = expand_test(
            quote!(),
            quote!(
                async fn t(n: u8) {}
            ),
        )
        .unwrap_err();
        assert!(refused.to_string().contains("takes no arguments"));
        assert!(
            expand_main(
                quote!(),
                quote!(
                    fn main() {}
                )
            )
            .is_err()
        );
        assert!(
            expand_main(
                quote!(),
                quote!(
                    async fn start() {}
                )
            )
            .is_err()
        );
    }

    #[test]
    fn a_test_that_should_panic_returns_nothing() {
        let item = quote!(
            #[should_panic]
            async fn t() {}
        );
        let expanded = expand_test(quote!(), item).unwrap().to_string();
        assert!(!expanded.contains("TestResult"), "{expanded}");
    }
}
