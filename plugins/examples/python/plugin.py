"""Extracts the fields of an electronic invoice: UBL, or CII as Factur-X and XRechnung have it.

It asks for nothing: no requests, no account. The invoice is a document of the step, and the fields are
its output, each as text exactly as the invoice has it, so that no amount is rounded on the way.
"""

import json
import xml.etree.ElementTree as ElementTree
from typing import Optional

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import actions

# An invoice is read whole; what is larger is no invoice.
BYTES_AT_MOST = 8 << 20
READ_AT_ONCE = 1 << 20

CII = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
UBL = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}
UBL_ROOTS = {
    "{urn:oasis:names:specification:ubl:schema:xsd:Invoice-2}Invoice",
    "{urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2}CreditNote",
}

# Where each field stands, by its name in EN 16931 (BT-1 and so on).
CII_HEAD = "rsm:SupplyChainTradeTransaction"
CII_SUMS = (
    f"{CII_HEAD}/ram:ApplicableHeaderTradeSettlement"
    "/ram:SpecifiedTradeSettlementHeaderMonetarySummation"
)
CII_FIELDS = {
    "number": "rsm:ExchangedDocument/ram:ID",  # BT-1
    "type-code": "rsm:ExchangedDocument/ram:TypeCode",  # BT-3
    "issue-date": "rsm:ExchangedDocument/ram:IssueDateTime/udt:DateTimeString",  # BT-2
    "due-date": f"{CII_HEAD}/ram:ApplicableHeaderTradeSettlement/ram:SpecifiedTradePaymentTerms"
    "/ram:DueDateDateTime/udt:DateTimeString",  # BT-9
    "currency": f"{CII_HEAD}/ram:ApplicableHeaderTradeSettlement/ram:InvoiceCurrencyCode",  # BT-5
    "buyer-reference": f"{CII_HEAD}/ram:ApplicableHeaderTradeAgreement/ram:BuyerReference",  # BT-10
    "order": f"{CII_HEAD}/ram:ApplicableHeaderTradeAgreement"
    "/ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID",  # BT-13
    "seller": f"{CII_HEAD}/ram:ApplicableHeaderTradeAgreement/ram:SellerTradeParty/ram:Name",  # BT-27
    "seller-vat-id": f"{CII_HEAD}/ram:ApplicableHeaderTradeAgreement/ram:SellerTradeParty"
    "/ram:SpecifiedTaxRegistration/ram:ID[@schemeID='VA']",  # BT-31
    "buyer": f"{CII_HEAD}/ram:ApplicableHeaderTradeAgreement/ram:BuyerTradeParty/ram:Name",  # BT-44
    "iban": f"{CII_HEAD}/ram:ApplicableHeaderTradeSettlement"
    "/ram:SpecifiedTradeSettlementPaymentMeans/ram:PayeePartyCreditorFinancialAccount/ram:IBANID",  # BT-84
    "net": f"{CII_SUMS}/ram:TaxBasisTotalAmount",  # BT-109
    "tax": f"{CII_SUMS}/ram:TaxTotalAmount",  # BT-110
    "total": f"{CII_SUMS}/ram:GrandTotalAmount",  # BT-112
    "payable": f"{CII_SUMS}/ram:DuePayableAmount",  # BT-115
}
UBL_FIELDS = {
    "number": "cbc:ID",
    "type-code": "cbc:InvoiceTypeCode",
    "issue-date": "cbc:IssueDate",
    "due-date": "cbc:DueDate",
    "currency": "cbc:DocumentCurrencyCode",
    "buyer-reference": "cbc:BuyerReference",
    "order": "cac:OrderReference/cbc:ID",
    "seller": "cac:AccountingSupplierParty/cac:Party/cac:PartyLegalEntity/cbc:RegistrationName",
    "seller-vat-id": "cac:AccountingSupplierParty/cac:Party/cac:PartyTaxScheme/cbc:CompanyID",
    "buyer": "cac:AccountingCustomerParty/cac:Party/cac:PartyLegalEntity/cbc:RegistrationName",
    "iban": "cac:PaymentMeans/cac:PayeeFinancialAccount/cbc:ID",
    "net": "cac:LegalMonetaryTotal/cbc:TaxExclusiveAmount",
    "tax": "cac:TaxTotal/cbc:TaxAmount",
    "total": "cac:LegalMonetaryTotal/cbc:TaxInclusiveAmount",
    "payable": "cac:LegalMonetaryTotal/cbc:PayableAmount",
}
# Without these it is no invoice (EN 16931 demands them).
NEEDED = ["number", "issue-date", "currency", "seller", "buyer", "total"]

INPUT = {
    "type": "object",
    "properties": {
        "invoice": {"$ref": "urn:docket:document", "description": "The invoice as XML."}
    },
    "required": ["invoice"],
    "additionalProperties": False,
}
TEXT_OR_NONE = {"type": ["string", "null"]}
OUTPUT = {
    "type": "object",
    "properties": {
        "syntax": {"enum": ["cii", "ubl"]},
        **{name: TEXT_OR_NONE for name in CII_FIELDS},
        **{name: {"type": "string"} for name in NEEDED},
    },
    "required": ["syntax", *CII_FIELDS],
    "additionalProperties": False,
}


def refuse(code: str, message: str, remedy: Optional[str] = None) -> Exception:
    """The failure for an input that cannot work, however often it is tried."""
    return Err(actions.Failure_InvalidInput(actions.Problem(code, message, remedy)))


def read(document) -> bytes:
    size = document.size()
    if size > BYTES_AT_MOST:
        raise refuse("TooLarge", f"{document.name()} has {size} bytes; {BYTES_AT_MOST} are allowed")
    pieces = []
    while (offset := sum(map(len, pieces))) < size:
        pieces.append(document.read(offset, READ_AT_ONCE))
    return b"".join(pieces)


def parse(document) -> ElementTree.Element:
    content = read(document)
    # Entities can make a small file large, and invoices have none.
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise refuse("DoctypeNotAllowed", f"{document.name()} has a document type; invoices have none")
    try:
        return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise refuse(
            "NotXml",
            f"{document.name()} is not XML: {error}",
            "of a Factur-X PDF, hand over the XML that is embedded in it",
        ) from None


def date(text: Optional[str]) -> Optional[str]:
    """CII writes 20261121 (format 102); everybody else 2026-11-21."""
    if text is not None and len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text


def extract(document) -> dict:
    root = parse(document)
    if root.tag == f"{{{CII['rsm']}}}CrossIndustryInvoice":
        syntax, places, spaces = "cii", CII_FIELDS, CII
    elif root.tag in UBL_ROOTS:
        syntax, places, spaces = "ubl", UBL_FIELDS, UBL
    else:
        raise refuse("NotAnInvoice", f"{document.name()} is neither a CII nor a UBL invoice: <{root.tag}>")
    fields = {}
    for name, place in places.items():
        text = root.findtext(place, namespaces=spaces)
        fields[name] = text.strip() if text and text.strip() else None
    for name in ["issue-date", "due-date"]:
        fields[name] = date(fields[name])
    missing = [name for name in NEEDED if fields[name] is None]
    if missing:
        raise refuse("FieldsMissing", f"{document.name()} lacks {', '.join(missing)}")
    return {"syntax": syntax, **fields}


class Actions(exports.Actions):
    def describe(self) -> actions.Manifest:
        action = actions.Action(
            name="extract",
            kind=actions.ActionKind.ACTION,
            summary="Extracts number, dates, parties and sums of an invoice in XML.",
            input=json.dumps(INPUT),
            output=json.dumps(OUTPUT),
            requests=[],
            scopes=[],
            examples=[],
        )
        return actions.Manifest(
            id="e-invoice",
            version="0.1.0",
            summary="Reads electronic invoices: Factur-X, XRechnung, UBL.",
            actions=[action],
        )

    def run(self, call: actions.Call) -> actions.Output:
        if call.action != "extract":
            raise refuse("UnknownAction", f"there is no action {call.action}")
        digest = json.loads(call.input)["invoice"]["$document"]
        document = next(held for held in call.documents if held.digest() == digest)
        fields = extract(document)
        print(f"read invoice {fields['number']} as {fields['syntax']}")
        return actions.Output(json.dumps(fields, ensure_ascii=False), None)
