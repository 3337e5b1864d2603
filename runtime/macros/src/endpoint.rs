//! `#[endpoint]` and `#[context]`: a type that names the function, a call in its place, an entry in
//! the registry.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Ident, ItemFn, PatType, Result, ReturnType, Type, parse_quote, parse2,
};

use crate::options::Options;
use crate::signature::{self, Unnamed};

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call or a stream, which only the compiler can tell.
    Endpoint,
    Context,
}

pub(crate) fn expand(options: TokenStream, item: TokenStream, kind: Kind) -> Result<TokenStream> {
    let allowed: &[_] = match kind {
        Kind::Endpoint => &["name", "schema", "codec", "call", "stream", "item", "unlisted"],
        Kind::Context => &["name", "schema", "codec", "unlisted"],
    };
    let options = Options::parse(options, allowed)?;
    let function: ItemFn = parse2(item)?;
    signature::check(&function, "an endpoint")?;
    let mut arguments = signature::arguments(&function)?;
    let context = match kind {
        Kind::Endpoint => None,
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
    if kind == Kind::Context {
        signature::check_async(
            &function,
            "a context",
            ": while a plain `fn` runs, nothing else in its actor does; blocking work goes through \
             `blocking::unblock(…).await`, and work for whole processes to an `ActorPool`",
        )?;
    }
    let written = Written::of(&options, &function)?;
    let parts =
        Parts { library: options.library(), options, function, arguments, context, written };
    Ok(parts.expand())
}

struct Parts {
    library: TokenStream,
    options: Options,
    function: ItemFn,
    arguments: Vec<PatType>,
    context: Option<PatType>,
    written: Written,
}

/// What the function returns, as far as words tell.
enum Written {
    /// A type with a name.
    Named(TokenStream),
    /// One with a stream in it that has none: this, with that in a box.
    Boxed(TokenStream),
}

impl Written {
    fn of(options: &Options, function: &ItemFn) -> Result<Self> {
        let library = options.library();
        let boxed = |item: &Type| -> Type { parse_quote!(#library::__private::kind::Boxed<#item>) };
        if let Some(item) = &options.item {
            return Ok(Self::Boxed(boxed(item).into_token_stream()));
        }
        let ty = match &function.sig.output {
            ReturnType::Default => return Ok(Self::Named(quote!(()))),
            ReturnType::Type(_, ty) => ty,
        };
        let message = match signature::unnamed(ty, boxed) {
            Unnamed::No => return Ok(Self::Named(quote!(#ty))),
            _ if options.call => "name the type: the other process has to know what it decodes",
            Unnamed::Boxed(ty) => return Ok(Self::Boxed(ty)),
            Unnamed::Unknown => {
                "whether this is a stream, and of what, cannot be told: write \
                 `impl Stream<Item = …>`, or `#[hatchery::endpoint(stream, item = …)]` with the \
                 type of its items"
            }
        };
        Err(Error::new_spanned(ty, message))
    }

    /// The type that goes on.
    fn ty(&self) -> &TokenStream {
        let (Self::Named(ty) | Self::Boxed(ty)) = self;
        ty
    }
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
        let asyncness = &self.function.sig.asyncness;
        let inputs = &self.function.sig.inputs;
        let output = &self.function.sig.output;
        let kept = self
            .function
            .attrs
            .iter()
            .filter(|known| !known.path().is_ident("doc") && !known.path().is_ident("cfg"));
        quote! {
            #(#kept)*
            #asyncness fn body(#inputs) #output #body
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
        let codec = match &self.options.codec {
            Some(given) => quote!(#given),
            None => quote!(#library::codec::Postcard),
        };
        let shape = self.shape();
        let types: Vec<_> = self.arguments.iter().map(|argument| &argument.ty).collect();
        let returns = self.returns();
        quote! {
            impl #library::Endpoint for #name {
                const NAME: &'static str = #wire_name;
                const SCHEMA: u64 =
                    #library::__private::schema::<#codec>(Self::NAME, #shape, #number);
                type Codec = #codec;
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
        if self.context.is_none() {
            let (written, told, span) = (self.written.ty(), self.told(), self.span());
            return quote_spanned!(span=>
                <#told as #library::__private::kind::Returns<#written>>::Return
            );
        }
        let written = self.written.ty();
        if signature::returns_result(&self.function.sig.output) {
            written.clone()
        } else {
            quote!(#library::__private::Plain<#written>)
        }
    }

    /// The kind as a type; errors of it are where the return type is written.
    fn told(&self) -> Ident {
        Ident::new("KindOfThis", self.span())
    }

    /// Where the return type is written.
    fn span(&self) -> Span {
        match &self.function.sig.output {
            ReturnType::Default => self.function.sig.ident.span(),
            ReturnType::Type(_, ty) => ty.span(),
        }
    }

    /// The kind as a number, which the compiler finds out, and the refusal of what has none.
    fn kind(&self) -> TokenStream {
        let (library, written, span) = (&self.library, self.written.ty(), self.span());
        let declared = matches!(self.written, Written::Boxed(_)) || self.options.stream;
        let tell = match (self.options.call, declared) {
            (true, _) => "as_call",
            (_, true) => "as_stream",
            _ => "tell",
        };
        let tell = Ident::new(tell, Span::call_site());
        let possible = match self.function.sig.asyncness {
            _ if declared => "can_be_stream",
            Some(_) => "can_be_async",
            None => "can_be_plain",
        };
        let told = self.told();
        // An error of these points at what is written.
        let checks = [Ident::new("can_be_told", span), Ident::new(possible, span)].map(|check| {
            quote_spanned!(span=>
                #library::__private::kind::#check::<#told, #written>();
            )
        });
        quote! {
            const KIND_OF_THIS: u8 = {
                use #library::__private::kind::Otherwise as _;
                #library::__private::kind::#tell(#library::__private::kind::Answers {
                    stream: #library::__private::kind::Probe::<#written>::STREAM,
                    value: #library::__private::kind::Probe::<#written>::VALUE,
                    result: #library::__private::kind::Probe::<#written>::RESULT,
                    fallible: #library::__private::kind::Probe::<#written>::FALLIBLE,
                    holds_value: #library::__private::kind::Probe::<#written>::HOLDS_VALUE,
                    opens: #library::__private::kind::Probe::<#written>::OPENS,
                    opens_fallible: #library::__private::kind::Probe::<#written>::OPENS_FALLIBLE,
                })
            };
            type KindOfThis = #library::__private::kind::Told<KIND_OF_THIS>;
            const _: () = {
                #(#checks)*
            };
        }
    }

    fn runner(&self) -> TokenStream {
        match &self.context {
            None => self.body_runner(),
            Some(context) => self.context_runner(context),
        }
    }

    /// For a call or a stream.
    fn body_runner(&self) -> TokenStream {
        let (library, name, written) = (&self.library, &self.function.sig.ident, self.written.ty());
        let names = self.inner_names();
        let given = match &self.written {
            Written::Named(_) => quote_spanned!(self.span()=>
                <_ as #library::__private::kind::Gives<#written, _>>::give(body(#(#names),*))
            ),
            Written::Boxed(_) => quote_spanned!(self.span()=>
                <_ as #library::__private::kind::Opens<#written, _>>::open(body(#(#names),*))
            ),
        };
        let (kind, told) = (self.kind(), self.told());
        quote! {
            #kind
            impl #library::__private::kind::Body for #name {
                type Written = #written;
                type Kind = #told;
                fn body(
                    (#(#names,)*): Self::Args,
                ) -> impl ::core::future::Future<Output = Self::Written>
                + ::core::marker::Send
                + 'static {
                    async move { #given.await }
                }
            }
        }
    }

    fn context_runner(&self, context: &PatType) -> TokenStream {
        let (library, name, ty) = (&self.library, &self.function.sig.ident, &context.ty);
        let names = self.inner_names();
        let call = quote!(body(context, #(#names),*));
        let run = if signature::returns_result(&self.function.sig.output) {
            quote!(#call)
        } else {
            quote!(async move { #library::__private::Plain(#call.await) })
        };
        quote! {
            impl #library::ContextEndpoint for #name {
                type Context = #ty;
                fn run(
                    context: Self::Context,
                    (#(#names,)*): Self::Args,
                ) -> impl ::core::future::Future<Output = Self::Return> + ::core::marker::Send + 'static {
                    #run
                }
            }
        }
    }

    fn inner_names(&self) -> Vec<Ident> {
        (0..self.arguments.len()).map(|index| quote::format_ident!("argument_{index}")).collect()
    }

    fn entry(&self) -> TokenStream {
        // Of the library itself, whose own are known without the linker.
        if self.options.unlisted {
            return TokenStream::new();
        }
        let (library, name, told) = (&self.library, &self.function.sig.ident, self.told());
        let entry = if self.context.is_some() {
            quote!(#library::__private::Entry::context::<#name>())
        } else {
            quote!(<#told as #library::__private::kind::Registers<#name>>::ENTRY)
        };
        quote! {
            #[#library::__private::linkme::distributed_slice(#library::__private::ENDPOINTS)]
            #[linkme(crate = #library::__private::linkme)]
            static ENTRY: #library::__private::Entry = #entry;
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
        let expanded = expand(quote!(schema = 2), item, Kind::Endpoint).unwrap().to_string();
        for part in [
            "pub struct add { }",
            "pub fn add (a : i64 , argument_1 : (i64 , u8))",
            "Probe :: < i64 > :: STREAM",
            "Registers < add >",
            "\"i64;(i64,u8);->i64\" , 2",
        ] {
            assert!(expanded.contains(part), "{part} is missing in {expanded}");
        }
    }

    #[test]
    fn a_contexts_result_is_taken_apart_and_not_wrapped() {
        let item = quote!(
            async fn f(cx: Context) -> hatchery::Result<()> {
                Ok(())
            }
        );
        let expanded = expand(quote!(), item, Kind::Context).unwrap().to_string();
        assert!(!expanded.contains("Plain"), "{expanded}");
    }

    #[test]
    fn a_stream_without_a_name_is_boxed_and_one_with_a_name_is_asked_about() {
        let unnamed = quote!(
            fn f() -> (impl Stream<Item = u8> + Send) {}
        );
        let expanded = expand(quote!(), unnamed, Kind::Endpoint).unwrap().to_string();
        assert!(expanded.contains("kind :: Boxed < u8 >"), "{expanded}");
        let named = quote!(
            fn f() -> Numbers {}
        );
        let expanded = expand(quote!(), named.clone(), Kind::Endpoint).unwrap().to_string();
        assert!(expanded.contains("Probe :: < Numbers > :: STREAM"), "{expanded}");
        let perhaps = quote!(
            fn f() -> io::Result<impl Stream<Item = u8>> {}
        );
        let expanded = expand(quote!(), perhaps, Kind::Endpoint).unwrap().to_string();
        let boxed = "io :: Result < :: hatchery :: __private :: kind :: Boxed < u8 > >";
        assert!(expanded.contains(boxed), "{expanded}");
        let expanded = expand(quote!(stream), named, Kind::Endpoint).unwrap().to_string();
        assert!(expanded.contains("as_stream"), "{expanded}");
    }

    #[test]
    fn what_cannot_be_an_endpoint_is_told_why() {
        let cases = [
            (
                quote!(
                    fn f() -> impl Stream {}
                ),
                "cannot be told",
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
            let refused = refusal(item, Kind::Endpoint);
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
            Kind::Endpoint,
        )
        .unwrap_err();
        assert!(refused.to_string().contains("`colour` is no option here"));
    }
}
