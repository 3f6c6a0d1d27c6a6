//! The table of routes, one for each HTTP listener of the node: [`crate::api`] and [`crate::admin`] each hold one.
//!
//! A row says method and path, who may ask, which query parameters there are, and which function answers. The router, 404,
//! 405 with `Allow`, the role's check, the query's check and the template that goes to log and metrics all follow from the
//! row; nothing about a path stands anywhere else, and a test holds the OpenAPI documents equal to the rows.
//!
//! Each request passes here, so finding its row allocates nothing: templates are taken apart when this is compiled, the path
//! is split once into places on the stack, and both are compared. What is allocated is the handler's future, since rows of
//! one table have handlers of different types.

mod pattern;
pub(crate) mod query;

use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use pattern::Pattern;
use query::Query;
use serde::Serialize;
use std::future::Future;
use std::pin::Pin;
use xinqiao_certs::Role;
use xinqiao_edge::{Exchange, Reply};
use xinqiao_runtime::refusal::{Refusal, RefusalCode};

/// The template of a path that is in no row.
const UNKNOWN: &str = "unknown";

/// What a row says to others than the router: clients, documents, tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path's template, such as `/v1/streams/{stream}/batches`.
    pub path: &'static str,
    /// Roles that may ask at all. What a member sees there is decided by its name.
    pub open_to: &'static [Role],
    /// The query parameters there are; any other is refused by name.
    pub query: &'static [&'static str],
    /// The values the template's last name may have; empty: any.
    pub only: &'static [&'static str],
}

/// One row with the function that answers. `C` is what handlers of the listener work with.
pub(crate) struct Route<C: 'static> {
    row: Row,
    pattern: Pattern,
    query_unread: bool,
    urgent: bool,
    handler: Handler<C>,
}

/// Answers a call.
pub(crate) type Handler<C> = for<'a> fn(Call<'a, C>) -> Response<'a>;

/// An answer under way. A handler is an `async fn`; its row puts it in a box.
pub(crate) type Response<'a> = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send + 'a>>;

/// One request that its row lets in.
pub(crate) struct Call<'a, C> {
    /// What the listener works with.
    pub(crate) with: &'a C,
    /// The request.
    pub(crate) exchange: Exchange,
    /// The names in the path, in the template's order; what it has fewer of is empty.
    pub(crate) names: [&'a str; 2],
    /// The query, which holds parameters of the row alone.
    pub(crate) query: Query<'a>,
    /// The path's template, for the reply.
    pub(crate) template: &'static str,
}

/// All rows of a listener.
pub(crate) struct Table<C: 'static> {
    /// Rows of one path stand together only by custom; the first whose template fits is the path.
    pub(crate) routes: &'static [Route<C>],
    /// Whether a path that answers GET answers HEAD.
    pub(crate) head: bool,
}

/// The path of a request, looked up.
pub(crate) struct Found<'a, C: 'static> {
    path: Option<&'static Route<C>>,
    names: [&'a str; 2],
}

impl<C> Route<C> {
    /// A path that is read.
    pub(crate) const fn get(
        path: &'static str,
        open_to: &'static [Role],
        query: &'static [&'static str],
        handler: Handler<C>,
    ) -> Self {
        Self::new("GET", path, open_to, query, handler)
    }

    /// A path that something is handed to.
    pub(crate) const fn post(
        path: &'static str,
        open_to: &'static [Role],
        query: &'static [&'static str],
        handler: Handler<C>,
    ) -> Self {
        Self::new("POST", path, open_to, query, handler)
    }

    const fn new(
        method: &'static str,
        path: &'static str,
        open_to: &'static [Role],
        query: &'static [&'static str],
        handler: Handler<C>,
    ) -> Self {
        let row = Row { method, path, open_to, query, only: &[] };
        Self { row, pattern: Pattern::of(path), query_unread: false, urgent: false, handler }
    }

    /// Only with these values of the last name; with others it is another path, or none.
    pub(crate) const fn only(mut self, values: &'static [&'static str]) -> Self {
        self.row.only = values;
        self
    }

    /// The last name takes the rest of the path, slashes and all.
    pub(crate) const fn with_rest(mut self) -> Self {
        self.pattern = self.pattern.with_rest();
        self
    }

    /// Passes over any query: a contract that began so stays so.
    pub(crate) const fn query_unread(mut self) -> Self {
        self.query_unread = true;
        self
    }

    /// Asked even from an address that is locked out, so that strangers behind it cannot prevent it.
    pub(crate) const fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }

    fn reads(&self) -> bool {
        self.row.method == "GET"
    }
}

impl<C> Table<C> {
    /// What every row says.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        self.routes.iter().map(|route| route.row)
    }

    /// Looks a path up.
    pub(crate) fn find<'a>(&self, path: &'a str) -> Found<'a, C> {
        let given = pattern::Given::of(path);
        let found = given.as_ref().and_then(|given| {
            let fits = |route: &&'static Route<C>| given.fits(&route.pattern, route.row.only);
            self.routes.iter().find(fits).map(|route| (route, given.names(&route.pattern)))
        });
        match found {
            Some((route, names)) => Found { path: Some(route), names },
            None => Found { path: None, names: [""; 2] },
        }
    }

    /// Lets a request in and has it answered, or says which check it fails: path, method, role, query, in this order.
    pub(crate) async fn response(
        &self,
        with: &C,
        exchange: Exchange,
        uri: &Uri,
        found: Found<'_, C>,
    ) -> Result<Reply, Refusal> {
        let route = self.admit(&found, &exchange.parts.method, exchange.member.role())?;
        let query = if route.query_unread { None } else { uri.query() };
        let query = Query::parse(query, route.row.query)?;
        let call = Call { with, exchange, names: found.names, query, template: route.row.path };
        (route.handler)(call).await
    }

    fn admit(&self, found: &Found<'_, C>, method: &Method, role: Role) -> Result<&'static Route<C>, Refusal> {
        let path = found.path.ok_or(RefusalCode::NotFound)?;
        let asked = if self.head && method == Method::HEAD { "GET" } else { method.as_str() };
        let same_path = || self.routes.iter().filter(|route| route.row.path == path.row.path);
        let Some(route) = same_path().find(|route| route.row.method == asked) else {
            let allow = match (same_path().any(Route::reads), same_path().all(Route::reads), self.head) {
                (false, ..) => "POST",
                (true, true, true) => "GET, HEAD",
                (true, true, false) => "GET",
                (true, false, true) => "GET, HEAD, POST",
                (true, false, false) => "GET, POST",
            };
            return Err(Refusal::new(RefusalCode::MethodNotAllowed).allow(allow));
        };
        if route.row.open_to.contains(&role) { Ok(route) } else { Err(RefusalCode::RoleWrong.into()) }
    }
}

impl<C> Found<'_, C> {
    /// What log and metrics call the path.
    pub(crate) fn template(&self) -> &'static str {
        self.path.map_or(UNKNOWN, |route| route.row.path)
    }

    /// Whether it is asked even from an address that is locked out.
    pub(crate) fn is_urgent(&self) -> bool {
        self.path.is_some_and(|route| route.urgent)
    }
}

/// A JSON document as an answer.
pub(crate) fn json(template: &'static str, body: &impl Serialize) -> Result<Reply, Refusal> {
    let bytes = serde_json::to_vec(body).map_err(|_| RefusalCode::Internal)?;
    Ok(Reply::bytes(template, StatusCode::OK, "application/json", Bytes::from(bytes)))
}

#[cfg(test)]
mod tests;
