//! The options in an attribute's parentheses.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, LitInt, LitStr, Path, Result, Token, Type};

/// What may stand there; each macro refuses what is not its own.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) krate: Option<Path>,
    pub(crate) name: Option<LitStr>,
    pub(crate) schema: Option<LitInt>,
    pub(crate) options: Option<Expr>,
    pub(crate) call: bool,
    pub(crate) stream: bool,
    pub(crate) item: Option<Type>,
    pub(crate) codec: Option<Type>,
    /// The library lists it itself.
    pub(crate) unlisted: bool,
}

enum Setting {
    Crate(Path),
    Name(LitStr),
    Schema(LitInt),
    Options(Box<Expr>),
    Call,
    Stream,
    Item(Box<Type>),
    Codec(Box<Type>),
    Unlisted,
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(Token![crate]) {
            input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            return Ok(Self::Crate(Path::parse_mod_style(input)?));
        }
        let key: syn::Ident = input.parse()?;
        match key.to_string().as_str() {
            "call" => return Ok(Self::Call),
            "stream" => return Ok(Self::Stream),
            "unlisted" => return Ok(Self::Unlisted),
            _ => {}
        }
        input.parse::<Token![=]>()?;
        match key.to_string().as_str() {
            "name" => Ok(Self::Name(input.parse()?)),
            "schema" => Ok(Self::Schema(input.parse()?)),
            "options" => Ok(Self::Options(Box::new(input.parse()?))),
            "item" => Ok(Self::Item(Box::new(input.parse()?))),
            "codec" => Ok(Self::Codec(Box::new(input.parse()?))),
            other => Err(Error::new(key.span(), format!("`{other}` is no option here"))),
        }
    }
}

impl Options {
    /// Reads `tokens`; `allowed` names the options that this macro has beside `crate`.
    pub(crate) fn parse(tokens: TokenStream, allowed: &[&str]) -> Result<Self> {
        let span = tokens.clone();
        let settings = Punctuated::<Setting, Token![,]>::parse_terminated.parse2(tokens)?;
        let mut options = Self::default();
        for setting in settings {
            let name = match &setting {
                Setting::Crate(_) => "crate",
                Setting::Name(_) => "name",
                Setting::Schema(_) => "schema",
                Setting::Options(_) => "options",
                Setting::Call => "call",
                Setting::Stream => "stream",
                Setting::Item(_) => "item",
                Setting::Codec(_) => "codec",
                Setting::Unlisted => "unlisted",
            };
            if name != "crate" && !allowed.contains(&name) {
                return Err(Error::new_spanned(span, format!("`{name}` is no option here")));
            }
            match setting {
                Setting::Crate(path) => options.krate = Some(path),
                Setting::Name(name) => options.name = Some(name),
                Setting::Schema(schema) => options.schema = Some(schema),
                Setting::Options(expr) => options.options = Some(*expr),
                Setting::Call => options.call = true,
                Setting::Stream => options.stream = true,
                Setting::Item(item) => options.item = Some(*item),
                Setting::Codec(codec) => options.codec = Some(*codec),
                Setting::Unlisted => options.unlisted = true,
            }
        }
        if options.call && options.stream {
            return Err(Error::new_spanned(span, "an endpoint is a `call` or a `stream`"));
        }
        if let (Some(item), false) = (&options.item, options.stream) {
            let message = "`item` is the type of what a stream yields; write `stream, item = …`";
            return Err(Error::new_spanned(item, message));
        }
        Ok(options)
    }

    /// The path of the library.
    pub(crate) fn library(&self) -> TokenStream {
        match &self.krate {
            Some(path) => quote!(#path),
            None => quote!(::hatchery),
        }
    }

    /// The root's options.
    pub(crate) fn of_root(&self) -> TokenStream {
        let library = self.library();
        match &self.options {
            Some(expr) => quote!(#expr),
            None => quote!(#library::Options::default()),
        }
    }
}
