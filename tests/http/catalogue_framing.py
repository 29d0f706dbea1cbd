"""A: where the body ends. Length and coding, and everything that could give two answers.

Source: RFC 9112 sections 6.1 to 6.3 and 7; RFC 9110 sections 5.6.1 and 8.6.
"""

from tests.http.rows import CODED, LAST, Row, chunked, forwarded, get, post, refused, sent

BAD = "400 EG001"
TOO_LARGE = "413 EG004"
UNKNOWN = "501 EG009"


def length(value: str, body: str = "") -> bytes:
    return post(f"Content-Length: {value}", body=body)


def coding(value: str) -> bytes:
    return post(f"Transfer-Encoding: {value}", body=LAST)


ONE_ZERO = "POST /v1/x HTTP/1.0"

ROWS: tuple[Row, ...] = (
    refused("A01", "length, then chunked", post("Content-Length: 5", CODED, body=LAST), BAD),
    refused("A02", "chunked, then length", post(CODED, "Content-Length: 5", body=LAST), BAD),
    refused("A03", "two lengths that differ",
            post("Content-Length: 1", "Content-Length: 2", body="ab"), BAD),
    refused("A04", "the same length twice",
            post("Content-Length: 1", "Content-Length: 1", body="a"), BAD),
    refused("A05", "a list of equal lengths", length("1, 1", "a"), BAD),
    refused("A06", "a list of two lengths", length("1, 2", "ab"), BAD),
    refused("A07", "length with a plus", length("+1", "a"), BAD),
    refused("A08", "length with a minus", length("-1", "a"), BAD),
    refused("A09", "length in hex", length("0x1", "a"), BAD),
    refused("A10", "length with an underscore", length("1_0", "a" * 10), BAD),
    refused("A11", "length without digits", length(""), BAD),
    refused("A12", "an empty length, then one of 5",
            post("Content-Length:", "Content-Length: 5", body="abcde"), BAD),
    refused("A13", "length with leading zeros", length("010", "a" * 10), BAD),
    refused("A14", "length of 2^64", length("18446744073709551616"), BAD),
    refused("A15", "length of 2^64 + 1", length("18446744073709551617", "a"), BAD),
    refused("A16", "length of 2^63", length("9223372036854775808"), TOO_LARGE),
    refused("A17", "length with a space inside", length("1 0", "a" * 10), BAD),
    refused("A18", "length with a letter after it", length("1Z", "a"), BAD),
    forwarded("A19", "length between tabs", length("\t1\t", "a"),
              sent("POST /v1/x", "content-length: 1", body=b"a")),
    refused("A20", "length with a fraction", length("1.0", "a"), BAD),
    refused("A21", "length in Arabic digits", length("\xd9\xa1", "a"), BAD),
    refused("A22", "chunked in two lines", post(CODED, CODED, body=LAST), BAD),
    refused("A23", "chunked twice in a list", coding("chunked, chunked"), BAD),
    refused("A24", "identity", coding("identity"), BAD),
    refused("A25", "identity before chunked", coding("identity, chunked"), UNKNOWN),
    refused("A26", "identity after chunked", coding("chunked, identity"), BAD),
    refused("A27", "gzip before chunked", coding("gzip, chunked"), UNKNOWN),
    refused("A28", "a coding that ends like chunked", coding("xchunked"), BAD),
    refused("A29", "an empty element before chunked", coding(",chunked"), UNKNOWN),
    refused("A30", "an empty element after chunked", coding("chunked,"), BAD),
    refused("A31", "chunked with a parameter", coding("chunked;q=1"), BAD),
    refused("A32", "a vertical tab before chunked", coding("\x0bchunked"), BAD),
    refused("A33", "a no-break space before chunked", coding("\xa0chunked"), BAD),
    refused("A34", "chunked in quotes", coding("'chunked'"), BAD),
    forwarded("A35", "chunked in capitals",
              post("Transfer-Encoding: CHUNKED", body="1\r\na\r\n" + LAST), chunked(b"a")),
    refused("A36", "an empty coding and a length",
            post("Transfer-Encoding:", "Content-Length: 5", body="abcde"), BAD),
    refused("A37", "a space before the colon of the coding",
            post("Transfer-Encoding : chunked", body=LAST), BAD),
    refused("A38", "a space before the colon of the length",
            post("Content-Length : 1", body="a"), BAD),
    refused("A39", "a tab before the colon of the coding",
            post("Transfer-Encoding\t: chunked", body=LAST), BAD),
    refused("A40", "the coding spelled with an underscore",
            post("Transfer_Encoding: chunked", body=LAST), BAD),
    refused("A40b", "the length spelled with an underscore",
            post("Content_Length: 5", body="abcde"), BAD),
    refused("A41", "the coding on a folded line",
            post("Transfer-Encoding:", " chunked", body=LAST), BAD),
    refused("A42", "chunked in HTTP/1.0", post(CODED, body=LAST, line=ONE_ZERO), BAD),
    refused("A43", "chunked and a length in HTTP/1.0",
            post(CODED, "Content-Length: 5", body=LAST, line=ONE_ZERO), BAD),
    refused("A44", "GET with a length", get("Content-Length: 1") + b"a", BAD),
    refused("A45", "GET with chunks", get(CODED) + b"1\r\na\r\n0\r\n\r\n", BAD),
    refused("A46", "a coding behind a bare CR in a value",
            post("X: \rTransfer-Encoding: chunked", body=LAST), BAD),
    refused("A47", "Connection lists the coding",
            post("Connection: close, transfer-encoding", CODED, body=LAST), BAD),
    refused("A48", "Connection lists the length",
            post("Connection: Content-Length", "Content-Length: 1", body="a"), BAD),
    forwarded("A49", "GET with a length of nothing", get("Content-Length: 0"),
              sent("GET /v1/x", "content-length: 0")),
)  # fmt: skip
