//! Names in conditions and texts: fields of the subject and outputs of steps, and what to write for a wrong one.
//!
//! What a step gives is declared by its type; whether it has given it is known at run time only.

use cel::IdedExpr;

use super::path::{Part, Path};
use super::suggest;
use super::type_check::{Check, Scope, Type};
use crate::step::Output;

/// Why a path names no value.
pub(super) enum Wrong {
    /// Nothing has the name at its root.
    Root,
    /// It names the subject as a whole.
    SubjectAlone,
    /// The subject has no such field.
    Field,
    /// It selects a part of a value that has none: of this type, by this name.
    Parts(Type, String),
    /// It names all steps.
    StepsAlone,
    /// There is no such step.
    Step,
    /// It names a step as a whole.
    StepAlone,
    /// The step gives nothing of this name.
    Output,
}

/// A wrong name in words.
pub(super) struct Explanation {
    pub(super) message: String,
    pub(super) help: String,
    /// The whole path that was meant, if one is near.
    pub(super) meant: Option<String>,
}

impl Check<'_> {
    /// The type of what a path names.
    pub(super) fn path(&mut self, path: &Path, at: &IdedExpr) -> Type {
        self.collect(path, at);
        match self.scope.resolve(path) {
            Ok(found) => found,
            Err(wrong) => {
                let Explanation { message, help, .. } = self.scope.explain(path, &wrong);
                self.refuse(at, message, help)
            }
        }
    }
}

impl Scope<'_> {
    /// The type of what a path names.
    pub(super) fn resolve(&self, path: &Path) -> Result<Type, Wrong> {
        if path.root == "steps" {
            return self.output(path);
        }
        let Some((subject, fields)) = self.subject else { return Ok(Type::Any) };
        if path.root != subject {
            return Err(Wrong::Root);
        }
        let Some(Part::Key(field)) = path.parts.first() else { return Err(Wrong::SubjectAlone) };
        let Some((_, found)) = fields.iter().find(|(name, _)| name == field) else {
            return Err(Wrong::Field);
        };
        parts(Type::of(*found), || format!("{subject}.{field}"), path.parts.get(1))
    }

    fn output(&self, path: &Path) -> Result<Type, Wrong> {
        let Some(Part::Key(step)) = path.parts.first() else { return Err(Wrong::StepsAlone) };
        let Some(named) = self.steps.iter().find(|named| named.id == step) else {
            return Err(Wrong::Step);
        };
        let Some(Part::Key(name)) = path.parts.get(1) else { return Err(Wrong::StepAlone) };
        let Some(outputs) = named.outputs else { return Ok(Type::Any) };
        let Some(output) = outputs.iter().find(|output| output.name == name) else {
            return Err(Wrong::Output);
        };
        parts(Type::of(output.kind), || told(step, output.name), path.parts.get(2))
    }

    /// Says what is wrong with a path, and what to write instead.
    pub(super) fn explain(&self, path: &Path, wrong: &Wrong) -> Explanation {
        let (subject, fields) = self.subject.unwrap_or_default();
        let first = name_of(path.parts.first());
        let mut meant = None;
        let (message, help) = match wrong {
            Wrong::Root => {
                meant = self.instead_of(&path.root);
                let help = match &meant {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => self.other_root(&path.root),
                };
                (format!("there is nothing named `{}` here", path.root), help)
            }
            Wrong::SubjectAlone => {
                let field = fields.first().map_or("name", |(name, _)| name);
                let help = format!("name a field of it, such as `{subject}.{field}`");
                (format!("`{subject}` alone is no value"), help)
            }
            Wrong::Field => {
                let names = || fields.iter().map(|(name, _)| *name);
                meant = suggest::nearest(first, names()).map(|near| format!("{subject}.{near}"));
                (format!("a {subject} has no field `{first}`"), suggest::help(first, names()))
            }
            Wrong::Parts(found, name) => {
                (format!("`{name}` is {}, without parts", found.name()), format!("write `{name}`"))
            }
            Wrong::StepsAlone => (
                "`steps` alone is no value".into(),
                "name a step and what it gave, as in `steps.intro.clicked`".into(),
            ),
            Wrong::Step => {
                let dashed = self.ids().find(|id| id.starts_with(&format!("{first}-")));
                let help = match dashed {
                    Some(id) => format!("a step with a dash in its id is written `steps['{id}']`"),
                    None => suggest::help(first, self.ids()),
                };
                let near = suggest::nearest(first, self.ids()).filter(|_| dashed.is_none());
                meant = near.map(|near| match path.parts.get(1) {
                    Some(Part::Key(output)) => told(near, output),
                    Some(Part::Index(_)) | None => format!("steps.{near}"),
                });
                (format!("there is no step `{first}`"), help)
            }
            Wrong::StepAlone => {
                let help = match self.outputs_of(first).first() {
                    Some(output) => {
                        format!("name what it gave, as in `{}`", told(first, output.name))
                    }
                    None => "a step of its type gives nothing to be asked for".to_owned(),
                };
                (format!("step `{first}` alone is no value"), help)
            }
            Wrong::Output => {
                let name = name_of(path.parts.get(1));
                let outputs = self.outputs_of(first);
                let names = || outputs.iter().map(|output| output.name);
                let help = if outputs.is_empty() {
                    "a step of its type gives nothing to be asked for".to_owned()
                } else {
                    suggest::help(name, names())
                };
                meant = suggest::nearest(name, names()).map(|near| told(first, near));
                (format!("step `{first}` gives no `{name}`"), help)
            }
        };
        Explanation { message, help, meant }
    }

    fn outputs_of(&self, step: &str) -> &'static [Output] {
        let named = self.steps.iter().find(|named| named.id == step);
        named.and_then(|named| named.outputs).unwrap_or_default()
    }

    /// The field of the subject that was meant by an unknown name.
    fn instead_of(&self, root: &str) -> Option<String> {
        let (subject, fields) = self.subject?;
        let field = fields.iter().find(|(name, _)| *name == root);
        field.map(|_| format!("{subject}.{root}"))
    }

    /// What to write instead of a name that is neither known nor a field.
    fn other_root(&self, root: &str) -> String {
        if self.ids().any(|id| id == root) {
            return format!("a step's output is written `steps.{root}.…`");
        }
        if let Some(step) = self.ids().find(|id| id.ends_with(&format!("-{root}"))) {
            return format!("a step with a dash in its id is written `steps['{step}']`");
        }
        suggest::help(root, self.subject.map(|(subject, _)| subject).into_iter().chain(["steps"]))
    }
}

/// The type of what is selected from a value.
fn parts(found: Type, name: impl Fn() -> String, part: Option<&Part>) -> Result<Type, Wrong> {
    match (found, part) {
        (found, None) => Ok(found),
        (Type::Any, Some(_)) | (Type::List, Some(Part::Index(_))) => Ok(Type::Any),
        (found, Some(_)) => Err(Wrong::Parts(found, name())),
    }
}

fn name_of(part: Option<&Part>) -> &str {
    match part {
        Some(Part::Key(name)) => name,
        Some(Part::Index(_)) | None => "",
    }
}

/// How an output is written: ids with a dash in brackets.
fn told(step: &str, output: &str) -> String {
    if step.contains('-') {
        format!("steps['{step}'].{output}")
    } else {
        format!("steps.{step}.{output}")
    }
}
