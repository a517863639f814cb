//! One answer, from the header of its request to the last byte that its client takes. Reports its steps to `places`,
//! and omits the body after `HEAD`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Buf, Bytes, Frame, Incoming, SizeHint};
use hyper::header::CONTENT_LENGTH;
use hyper::service::Service;
use hyper::{Method, Request, Response};

use super::counters::Counters;
use super::places::{AnswerGuard, Large, Steps};

/// Answers are handed over in slices of this many bytes. In one piece, a large answer would count as done while its
/// client has yet to read it. With slices, at most what fits into buffers counts too early.
const SLICE: usize = 64 * 1024;

/// The routes, with the client added to each request and each request reported from header to end of answer.
pub(super) struct Reporting<S> {
    inner: S,
    steps: Steps,
    counters: Arc<Counters>,
}

impl<S> Reporting<S> {
    /// The routes of one connection.
    pub(super) fn new(inner: S, steps: Steps, counters: Arc<Counters>) -> Self {
        Self { inner, steps, counters }
    }
}

impl<S, B> Service<Request<Incoming>> for Reporting<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Body,
{
    type Response = Response<Reported<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.counters.requests.increment();
        let answer = self.steps.request();
        let is_head = request.method() == Method::HEAD;
        request.extensions_mut().insert(self.steps.peer().clone());
        let response = self.inner.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            if is_head {
                without_body(&mut response);
            }
            let body = |body| (!is_head).then(|| Box::pin(body));
            Ok(response.map(|it| Reported { body: body(it), rest: Bytes::new(), large: None, answer }))
        })
    }
}

/// An answer to `HEAD` says how long the body would be. With HTTP/2 a body that is sent after it is an error.
fn without_body<B: Body>(response: &mut Response<B>) {
    if let (Some(length), false) =
        (response.body().size_hint().exact(), response.headers().contains_key(CONTENT_LENGTH))
    {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
}

/// A body in slices whose end is the end of the answer.
pub(super) struct Reported<B> {
    /// Absent after `HEAD`.
    body: Option<Pin<Box<B>>>,
    /// Of the last frame, what was not handed over yet.
    rest: Bytes,
    /// Once a frame was longer than a slice.
    large: Option<Large>,
    answer: AnswerGuard,
}

impl<B: Body> Body for Reported<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
            let Poll::Ready(frame) = body.as_mut().poll_frame(context) else {
                // The client waits for us, not we for the client.
                self.answer.waits();
                return Poll::Pending;
            };
            match frame.transpose()?.map(Frame::into_data) {
                None => return Poll::Ready(None),
                // Whole bytes are shared here, not copied.
                Some(Ok(mut data)) => self.rest = data.copy_to_bytes(data.remaining()),
                Some(Err(other)) => {
                    return Poll::Ready(
                        other.into_trailers().ok().map(|trailers| Ok(Frame::trailers(trailers))),
                    );
                }
            }
        }
        // hyper asks for more only when it has room, so the client has taken what came before.
        self.answer.taken();
        if self.rest.len() > SLICE {
            match &self.large {
                Some(large) => large.taken(),
                None => self.large = Some(self.answer.large(&self.rest)),
            }
            return Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(SLICE)))));
        }
        let last = std::mem::take(&mut self.rest);
        // The end of a large body may wait in a buffer after the answer has ended here. As a copy it keeps the rest of
        // the body from being held for it.
        let last = if self.large.is_some() { Bytes::copy_from_slice(&last) } else { last };
        Poll::Ready(Some(Ok(Frame::data(last))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let Some(body) = &self.body else { return SizeHint::with_exact(0) };
        let (rest, inner) = (self.rest.len() as u64, body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::Waker;

    use tokio::time::Instant;

    use super::super::ConnectionLimits;
    use super::super::places::Places;
    use super::*;

    /// Gives these in turn; where there is nothing, it has nothing yet.
    struct Parts(VecDeque<Option<Bytes>>);

    impl Body for Parts {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.pop_front() {
                Some(Some(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(None) => Poll::Pending,
                None => Poll::Ready(None),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_client_that_could_read_counts_as_one_that_does_not() {
        let place = Places::new(&ConnectionLimits::default(), Arc::default())
            .admit("10.0.0.1:1".parse().unwrap())
            .unwrap();
        let steps = place.steps();
        let large = Bytes::from(vec![b'x'; SLICE + 5]);
        let parts = Parts([None, Some(large.clone()), None].into());
        let mut reported = Reported {
            body: Some(Box::pin(parts)),
            rest: Bytes::new(),
            large: None,
            answer: steps.request(),
        };
        let mut next = || Pin::new(&mut reported).poll_frame(&mut Context::from_waker(Waker::noop()));
        let data = |polled: Poll<Option<Result<Frame<Bytes>, Infallible>>>| match polled {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap(),
            other => panic!("no data: {other:?}"),
        };
        assert!(next().is_pending());
        assert_eq!(steps.phase().2, None, "the body has nothing yet");
        assert_eq!(data(next()).as_ptr(), large.as_ptr(), "shared, not copied");
        assert_eq!(steps.phase().2, Some(Instant::now()));
        let last = data(next());
        assert!(last.len() == 5 && !large.as_ptr_range().contains(&last.as_ptr()), "the end is a copy");
        assert!(next().is_pending());
        assert_eq!(steps.phase().2, None);
        assert!(matches!(next(), Poll::Ready(None)));
    }
}
