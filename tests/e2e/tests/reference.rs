//! `docs/plugin-interface.md` is made of `wit/processor.wit`, and this test holds it fresh. With `UPDATE`
//! set in the environment, it is written instead.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, Resolve, Type, TypeDef, TypeDefKind, TypeId,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_reference_is_made_of_the_interface() {
    let mut resolve = Resolve::default();
    let text = fs::read_to_string(root().join("wit/processor.wit")).unwrap();
    let package = resolve.push_str("processor.wit", &text).unwrap();
    let page = page(&resolve, package);
    let path = root().join("docs/plugin-interface.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == there,
        "docs/plugin-interface.md is not what wit/ says; UPDATE=1 writes it anew"
    );
    // Everything of the interface is in it, with its documentation.
    for (_, interface) in &resolve.interfaces {
        for name in interface.types.keys().chain(interface.functions.keys()) {
            // `client.send` of `[method]client.send`.
            let name = name.rsplit(']').next().unwrap();
            assert!(page.contains(&format!("`{name}")), "{name}");
        }
    }
}

fn page(resolve: &Resolve, package: wit_parser::PackageId) -> String {
    let package = &resolve.packages[package];
    let mut page = format!(
        "<!-- Made of wit/processor.wit by tests/e2e/tests/reference.rs; UPDATE=1 writes it anew. -->\n\n\
         # The plugin interface: `{}`\n",
        package.name
    );
    paragraph(&mut page, &package.docs);
    for (name, id) in &package.interfaces {
        interface(&mut page, resolve, name, &resolve.interfaces[*id]);
    }
    page
}

fn interface(page: &mut String, resolve: &Resolve, name: &str, interface: &Interface) {
    write!(page, "\n## Interface `{name}`\n").unwrap();
    paragraph(page, &interface.docs);
    for function in interface.functions.values() {
        if matches!(function.kind, FunctionKind::Freestanding) {
            write!(page, "\n### `{}`\n\n", function.name).unwrap();
            signature(page, resolve, function, "");
        }
    }
    for (name, id) in &interface.types {
        let definition = &resolve.types[*id];
        if is_use(definition) {
            continue;
        }
        write!(page, "\n### `{name}` ({})\n", kind(definition)).unwrap();
        paragraph(page, &definition.docs);
        members(page, resolve, definition);
        let methods = interface.functions.values();
        for method in methods.filter(|method| owner(method) == Some(*id)) {
            let short = method.name.rsplit('.').next().unwrap();
            write!(page, "\n#### `{name}.{short}`\n\n").unwrap();
            signature(page, resolve, method, name);
        }
    }
}

/// Whether it is another interface's type that is only used here.
fn is_use(definition: &TypeDef) -> bool {
    matches!(definition.kind, TypeDefKind::Type(Type::Id(_)))
}

fn owner(function: &Function) -> Option<TypeId> {
    match function.kind {
        FunctionKind::Method(id) | FunctionKind::Static(id) | FunctionKind::Constructor(id) => {
            Some(id)
        }
        _ => None,
    }
}

fn kind(definition: &TypeDef) -> String {
    match &definition.kind {
        TypeDefKind::Resource => "handle".to_owned(),
        other => other.as_str().to_owned(),
    }
}

fn signature(page: &mut String, resolve: &Resolve, function: &Function, resource: &str) {
    let short = function.name.rsplit('.').next().unwrap();
    let is_static = matches!(function.kind, FunctionKind::Static(_));
    // A method's first parameter is what it is called on.
    let own = usize::from(matches!(function.kind, FunctionKind::Method(_)));
    let parameters: Vec<String> = function.params[own..]
        .iter()
        .map(|param| format!("{}: {}", param.name, named(resolve, &param.ty)))
        .collect();
    let result = function.result.as_ref();
    let result = result.map_or(String::new(), |ty| format!(" -> {}", named(resolve, ty)));
    let head = match (resource, is_static) {
        ("", _) => format!("{short}: func"),
        (_, true) => format!("{short}: static func"),
        _ => format!("{short}: func"),
    };
    write!(
        page,
        "```wit\n{head}({}){result}\n```\n",
        parameters.join(", ")
    )
    .unwrap();
    paragraph(page, &function.docs);
}

fn members(page: &mut String, resolve: &Resolve, definition: &TypeDef) {
    let mut rows: Vec<(String, String, &Docs)> = Vec::new();
    let head = match &definition.kind {
        TypeDefKind::Record(record) => {
            for field in &record.fields {
                rows.push((field.name.clone(), named(resolve, &field.ty), &field.docs));
            }
            "field"
        }
        TypeDefKind::Variant(variant) => {
            for case in &variant.cases {
                let ty = case.ty.as_ref().map(|ty| named(resolve, ty));
                rows.push((case.name.clone(), ty.unwrap_or_default(), &case.docs));
            }
            "case"
        }
        TypeDefKind::Enum(cases) => {
            for case in &cases.cases {
                rows.push((case.name.clone(), String::new(), &case.docs));
            }
            "case"
        }
        TypeDefKind::Resource => return,
        other => {
            write!(page, "\n```wit\n{}\n```\n", plain(resolve, other)).unwrap();
            return;
        }
    };
    write!(page, "\n| {head} | type | |\n|---|---|---|\n").unwrap();
    for (name, ty, docs) in rows {
        let ty = if ty.is_empty() { ty } else { format!("`{ty}`") };
        let docs = docs.contents.as_deref().unwrap_or_default();
        let docs = docs.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(page, "| `{name}` | {ty} | {} |", docs.replace('|', "\\|")).unwrap();
    }
}

fn paragraph(page: &mut String, docs: &Docs) {
    if let Some(text) = &docs.contents {
        write!(page, "\n{}\n", text.trim()).unwrap();
    }
}

fn named(resolve: &Resolve, ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::S8 => "s8".to_owned(),
        Type::S16 => "s16".to_owned(),
        Type::S32 => "s32".to_owned(),
        Type::S64 => "s64".to_owned(),
        Type::F32 => "f32".to_owned(),
        Type::F64 => "f64".to_owned(),
        Type::Char => "char".to_owned(),
        Type::String => "string".to_owned(),
        Type::ErrorContext => "error-context".to_owned(),
        Type::Id(id) => {
            let definition = &resolve.types[*id];
            match &definition.name {
                Some(name) => name.clone(),
                None => plain(resolve, &definition.kind),
            }
        }
    }
}

fn plain(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let name = |id: &TypeId| named(resolve, &Type::Id(*id));
    match kind {
        TypeDefKind::Handle(Handle::Own(id)) => name(id),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", name(id)),
        TypeDefKind::List(ty) => format!("list<{}>", named(resolve, ty)),
        TypeDefKind::Option(ty) => format!("option<{}>", named(resolve, ty)),
        TypeDefKind::Tuple(tuple) => {
            let types: Vec<String> = tuple.types.iter().map(|ty| named(resolve, ty)).collect();
            format!("tuple<{}>", types.join(", "))
        }
        TypeDefKind::Result(result) => {
            let part = |ty: &Option<Type>| ty.as_ref().map(|ty| named(resolve, ty));
            match (part(&result.ok), part(&result.err)) {
                (Some(ok), Some(err)) => format!("result<{ok}, {err}>"),
                (Some(ok), None) => format!("result<{ok}>"),
                (None, Some(err)) => format!("result<_, {err}>"),
                (None, None) => "result".to_owned(),
            }
        }
        TypeDefKind::Type(ty) => named(resolve, ty),
        other => other.as_str().to_owned(),
    }
}
