//! Sources as tokens: paths, functions and attributes, with their lines.
//!
//! Comments are gone here and documentation is a literal, so that what is only spoken of is not
//! found. Which of it breaks a rule is decided in `tidy`.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Every path of at least two names, with the groups of `use` unfolded. Inline modules add a level
/// to `super`, which is taken off again here.
pub(super) fn paths(tokens: &TokenStream) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let trees: Vec<_> = tokens.clone().into_iter().collect();
    walk(&trees, 0, &mut found);
    found.retain(|(_, path): &(usize, Vec<String>)| path.len() > 1);
    found
}

fn walk(trees: &[TokenTree], depth: usize, found: &mut Vec<(usize, Vec<String>)>) {
    let mut at = 0;
    while at < trees.len() {
        match &trees[at] {
            TokenTree::Ident(_) => {
                let is_module = at > 0 && is_word(&trees[at - 1], "mod");
                let mut here = Vec::new();
                let next = path(trees, at, &[], &mut here);
                found.extend(
                    here.into_iter().filter_map(|(line, path)| {
                        Some((line, out_of_inline_modules(path, depth)?))
                    }),
                );
                at = next;
                if is_module && let Some(TokenTree::Group(body)) = trees.get(at) {
                    let inner: Vec<_> = body.stream().into_iter().collect();
                    walk(&inner, depth + 1, found);
                    at += 1;
                }
            }
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                walk(&inner, depth, found);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// `super` as seen from the file; `None` where the path stays within it.
fn out_of_inline_modules(path: Vec<String>, depth: usize) -> Option<Vec<String>> {
    let climbs = path.iter().take_while(|name| *name == "super").count();
    match climbs {
        0 => Some(path),
        _ if climbs <= depth => None,
        _ => Some(path[depth..].to_vec()),
    }
}

/// Reads the path that begins with the name at `at`. Gives the index after it.
fn path(
    trees: &[TokenTree],
    mut at: usize,
    before: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut names = before.to_vec();
    let line = line_of(&trees[at]);
    loop {
        match trees.get(at) {
            Some(TokenTree::Ident(name)) => names.push(name.to_string()),
            Some(TokenTree::Punct(star)) if star.as_char() == '*' => names.push("*".into()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                for part in parts(group) {
                    path(&part, 0, &names, found);
                }
                return at + 1;
            }
            // `<` of generic arguments, or a path that ends in a mark.
            _ => break,
        }
        at += 1;
        if !is_path_mark(trees, at) {
            break;
        }
        at += 2;
    }
    found.push((line, names));
    at
}

/// The members of a group, split at its commas.
fn parts(group: &Group) -> Vec<Vec<TokenTree>> {
    let trees: Vec<_> = group.stream().into_iter().collect();
    let is_comma =
        |tree: &TokenTree| matches!(tree, TokenTree::Punct(mark) if mark.as_char() == ',');
    trees.split(is_comma).filter(|part| !part.is_empty()).map(<[_]>::to_vec).collect()
}

fn is_path_mark(trees: &[TokenTree], at: usize) -> bool {
    let is_colon = |tree: Option<&TokenTree>| matches!(tree, Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    is_colon(trees.get(at)) && is_colon(trees.get(at + 1))
}

/// Every function with a body: its name, and its first and last line.
pub(super) fn functions(tokens: &TokenStream) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    each_stream(tokens, &mut |trees| {
        for (at, pair) in trees.windows(2).enumerate() {
            let [keyword, TokenTree::Ident(name)] = pair else { continue };
            if !is_word(keyword, "fn") {
                continue;
            }
            // Its body is the first braced group after its name; without one, `;` comes first.
            let body = trees[at..].iter().find_map(|tree| match tree {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    Some(Some(group))
                }
                TokenTree::Punct(mark) if mark.as_char() == ';' => Some(None),
                _ => None,
            });
            if let Some(Some(body)) = body {
                found.push((name.to_string(), line_of(keyword), body.span_close().end().line));
            }
        }
    });
    found
}

pub(super) fn each_stream(tokens: &TokenStream, visit: &mut dyn FnMut(&[TokenTree])) {
    let trees: Vec<_> = tokens.clone().into_iter().collect();
    visit(&trees);
    for tree in &trees {
        if let TokenTree::Group(group) = tree {
            each_stream(&group.stream(), visit);
        }
    }
}

pub(super) fn is_attribute(group: &Group, name: &str) -> bool {
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Bracket && first.is_some_and(|tree| is_word(&tree, name))
}

fn is_word(tree: &TokenTree, word: &str) -> bool {
    matches!(tree, TokenTree::Ident(name) if name == word)
}

pub(super) fn line_of(tree: &TokenTree) -> usize {
    tree.span().start().line
}
