//! `#[endpoint]` and `#[context]`: a type that names the function, a call in its place, an entry in
//! the registry.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Error, Ident, ItemFn, PatType, Result, ReturnType, parse2};

use crate::options::Options;
use crate::signature;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    Context,
}

pub(crate) fn expand(options: TokenStream, item: TokenStream, kind: Kind) -> Result<TokenStream> {
    let options = Options::parse(options, &["name", "schema"])?;
    let function: ItemFn = parse2(item)?;
    signature::check(&function, "an endpoint")?;
    let mut arguments = signature::arguments(&function)?;
    let context = match kind {
        Kind::Call => None,
        Kind::Context if arguments.is_empty() => {
            return Err(Error::new_spanned(
                &function.sig.ident,
                "a context's first argument is its `Context<Starts<…>, Sends<…>, Receives<…>>`",
            ));
        }
        Kind::Context => Some(arguments.remove(0)),
    };
    for argument in &arguments {
        signature::check_crossing(argument)?;
    }
    let parts = Parts { library: options.library(), options, function, arguments, context };
    Ok(parts.expand())
}

struct Parts {
    library: TokenStream,
    options: Options,
    function: ItemFn,
    arguments: Vec<PatType>,
    context: Option<PatType>,
}

impl Parts {
    fn expand(&self) -> TokenStream {
        let outer = self.outer();
        let inner = self.inner();
        let endpoint = self.endpoint();
        let runner = self.runner();
        let entry = self.entry();
        let cfg = self.attributes("cfg");
        quote! {
            #outer
            #(#cfg)*
            const _: () = {
                #inner
                #endpoint
                #runner
                #entry
            };
        }
    }

    fn attributes(&self, name: &str) -> Vec<&Attribute> {
        self.function.attrs.iter().filter(|known| known.path().is_ident(name)).collect()
    }

    /// The type that names the endpoint, and the function that makes a call to it.
    fn outer(&self) -> TokenStream {
        let (library, vis, name) = (&self.library, &self.function.vis, &self.function.sig.ident);
        let (docs, cfg) = (self.attributes("doc"), self.attributes("cfg"));
        let names = self.outer_names();
        let types: Vec<_> = self.arguments.iter().map(|argument| &argument.ty).collect();
        quote! {
            #(#cfg)*
            #(#docs)*
            #[allow(non_camel_case_types, dead_code, missing_docs)]
            #[derive(Debug)]
            #vis struct #name {}

            #(#cfg)*
            #(#docs)*
            #[allow(dead_code, missing_docs)]
            #vis fn #name(#(#names: #types),*) -> #library::Call<#name> {
                #library::Call::new((#(#names,)*))
            }
        }
    }

    fn outer_names(&self) -> Vec<Ident> {
        let numbered = self.arguments.iter().enumerate();
        numbered.map(|(index, argument)| signature::outer_name(argument, index)).collect()
    }

    /// The function as the user wrote it.
    fn inner(&self) -> TokenStream {
        let body = &self.function.block;
        let inputs = &self.function.sig.inputs;
        let output = &self.function.sig.output;
        let kept = self
            .function
            .attrs
            .iter()
            .filter(|known| !known.path().is_ident("doc") && !known.path().is_ident("cfg"));
        quote! {
            #(#kept)*
            async fn body(#inputs) #output #body
        }
    }

    fn endpoint(&self) -> TokenStream {
        let (library, name) = (&self.library, &self.function.sig.ident);
        let wire_name = match &self.options.name {
            Some(given) => quote!(#given),
            None => {
                quote!(::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)))
            }
        };
        let number = match &self.options.schema {
            Some(number) => quote!(#number),
            None => quote!(0),
        };
        let shape = self.shape();
        let types: Vec<_> = self.arguments.iter().map(|argument| &argument.ty).collect();
        let returns = self.returns();
        quote! {
            impl #library::Endpoint for #name {
                const NAME: &'static str = #wire_name;
                const SCHEMA: u64 = #library::__private::schema(Self::NAME, #shape, #number);
                type Args = (#(#types,)*);
                type Return = #returns;
            }
        }
    }

    /// The signature's types in words: what both ends have to agree on.
    fn shape(&self) -> String {
        let mut shape = String::new();
        for argument in self.context.iter().chain(&self.arguments) {
            shape.push_str(&argument.ty.to_token_stream().to_string());
            shape.push(';');
        }
        shape.push_str(&self.function.sig.output.to_token_stream().to_string());
        shape.split_whitespace().collect()
    }

    fn returns(&self) -> TokenStream {
        let library = &self.library;
        let written = match &self.function.sig.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ty) => quote!(#ty),
        };
        if signature::returns_result(&self.function.sig.output) {
            written
        } else {
            quote!(#library::__private::Plain<#written>)
        }
    }

    fn runner(&self) -> TokenStream {
        let (library, name) = (&self.library, &self.function.sig.ident);
        let names: Vec<_> = (0..self.arguments.len())
            .map(|index| quote::format_ident!("argument_{index}"))
            .collect();
        let (method, call) = match &self.context {
            None => (quote!(), quote!(body(#(#names),*))),
            Some(_) => (quote!(context: Self::Context,), quote!(body(context, #(#names),*))),
        };
        let run = if signature::returns_result(&self.function.sig.output) {
            quote!(#call)
        } else {
            quote!(async move { #library::__private::Plain(#call.await) })
        };
        let (which, ty) = match &self.context {
            None => (quote!(CallEndpoint), quote!()),
            Some(context) => {
                let ty = &context.ty;
                (quote!(ContextEndpoint), quote!(type Context = #ty;))
            }
        };
        quote! {
            impl #library::#which for #name {
                #ty
                fn run(
                    #method
                    (#(#names,)*): Self::Args,
                ) -> impl ::core::future::Future<Output = Self::Return> + ::core::marker::Send + 'static {
                    #run
                }
            }
        }
    }

    fn entry(&self) -> TokenStream {
        let (library, name) = (&self.library, &self.function.sig.ident);
        let make = if self.context.is_some() { quote!(context) } else { quote!(call) };
        quote! {
            #[#library::__private::linkme::distributed_slice(#library::__private::ENDPOINTS)]
            #[linkme(crate = #library::__private::linkme)]
            static ENTRY: #library::__private::Entry =
                #library::__private::Entry::#make::<#name>();
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::{Kind, expand};

    fn refusal(item: proc_macro2::TokenStream, kind: Kind) -> String {
        expand(quote!(), item, kind).unwrap_err().to_string()
    }

    #[test]
    fn a_call_names_a_type_and_an_entry() {
        let item = quote!(
            pub async fn add(mut a: i64, (b, _): (i64, u8)) -> i64 {
                a += b;
                a
            }
        );
        let expanded = expand(quote!(schema = 2), item, Kind::Call).unwrap().to_string();
        for part in [
            "pub struct add { }",
            "pub fn add (a : i64 , argument_1 : (i64 , u8))",
            "Plain < i64 >",
            "Entry :: call :: < add >",
            "\"i64;(i64,u8);->i64\" , 2",
        ] {
            assert!(expanded.contains(part), "{part} is missing in {expanded}");
        }
    }

    #[test]
    fn a_result_is_taken_apart_and_not_wrapped() {
        let item = quote!(
            async fn f() -> hatchery::Result<()> {
                Ok(())
            }
        );
        let expanded = expand(quote!(), item, Kind::Call).unwrap().to_string();
        assert!(!expanded.contains("Plain"), "{expanded}");
    }

    #[test]
    fn what_cannot_be_an_endpoint_is_told_why() {
        let cases = [
            (
                quote!(
                    fn f() {}
                ),
                "is an `async fn`",
            ),
            (
                quote!(
                    fn f() -> impl Stream<Item = u8> {}
                ),
                "not supported yet",
            ),
            (
                quote!(
                    async fn f<T>(t: T) {}
                ),
                "cannot be generic",
            ),
            (
                quote!(
                    async fn f(name: &str) {}
                ),
                "take a `String`",
            ),
            (
                quote!(
                    async fn f(list: &[u8]) {}
                ),
                "take the value itself",
            ),
            (
                quote!(
                    async fn f(it: impl Clone) {}
                ),
                "name the type",
            ),
            (
                quote!(
                    async fn f(&self) {}
                ),
                "free function",
            ),
        ];
        for (item, message) in cases {
            let refused = refusal(item, Kind::Call);
            assert!(refused.contains(message), "{refused}");
        }
        assert!(
            refusal(
                quote!(
                    async fn f() {}
                ),
                Kind::Context
            )
            .contains("first argument")
        );
    }

    #[test]
    fn an_unknown_option_is_refused() {
        let refused = expand(
            quote!(colour = 1),
            quote!(
                async fn f() {}
            ),
            Kind::Call,
        )
        .unwrap_err();
        assert!(refused.to_string().contains("`colour` is no option here"));
    }
}
