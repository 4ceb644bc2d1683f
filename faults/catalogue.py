"""Every fault there is: the union is the registry, so nothing exists by being imported."""

from __future__ import annotations

from typing import Final

from faults.agent import ClientVanish, PayloadRequest, PayloadResponse, ResponseLost, SlowReader
from faults.agent_calls import (
    AgentLoop,
    ArgsFuzz,
    ArgsInvalid,
    CallCancel,
    CallRepeat,
    IdCollide,
    SlowNeighbour,
)
from faults.agent_sessions import (
    HostHeader,
    InitWithStaleId,
    ListDrift,
    OriginEvil,
    RejectFlood,
    ResumeProbe,
    SessionFlood,
    SessionHijack,
    SessionIdle,
    StateTamper,
    VersionSkew,
)
from faults.credentials import (
    AudWrong,
    ClockSkew,
    IdentityHop,
    RefreshAsAccess,
    ScopeDeny,
    SharedCredential,
)
from faults.dependency import (
    Dep429,
    DepDown,
    DepDrift,
    DepLatency,
    DepPartial,
    DepPool,
    DepReset,
    DepStale,
    ResultEmpty,
    TimeoutMismatch,
    ToolSlow,
)
from faults.fault import Fault
from faults.identity import NoToken, TokenExpire, TokenRevoke
from faults.issuers import AsOutage, JwksRotate, RefreshFail, RefreshRace
from faults.load import Ramp, Soak, Spike
from faults.network import (
    IdleCut,
    ReconnectStorm,
    TcpBandwidth,
    TcpBlackhole,
    TcpDown,
    TcpLatency,
    TcpReset,
    TcpSlice,
    TcpTruncate,
)
from faults.process import (
    EnvMissing,
    PathDiffers,
    ProcessKill,
    ProcessStop,
    Sigterm,
    SlowStart,
)

AnyFault = (
    TcpLatency
    | TcpReset
    | TcpBlackhole
    | TcpDown
    | TcpBandwidth
    | TcpSlice
    | TcpTruncate
    | TokenExpire
    | TokenRevoke
    | NoToken
    | ScopeDeny
    | AudWrong
    | RefreshAsAccess
    | ClockSkew
    | SharedCredential
    | JwksRotate
    | AsOutage
    | RefreshFail
    | RefreshRace
    | IdentityHop
    | PayloadRequest
    | PayloadResponse
    | ClientVanish
    | ResponseLost
    | SlowReader
    | CallCancel
    | CallRepeat
    | IdCollide
    | ArgsInvalid
    | ArgsFuzz
    | AgentLoop
    | SlowNeighbour
    | ProcessKill
    | ProcessStop
    | DepLatency
    | DepDown
    | DepReset
    | Dep429
    | DepPool
    | DepStale
    | DepDrift
    | DepPartial
    | ResultEmpty
    | ToolSlow
    | TimeoutMismatch
    | Sigterm
    | Ramp
    | Spike
    | Soak
    | SessionFlood
    | RejectFlood
    | SessionHijack
    | InitWithStaleId
    | SessionIdle
    | ResumeProbe
    | StateTamper
    | VersionSkew
    | OriginEvil
    | HostHeader
    | IdleCut
    | EnvMissing
    | ListDrift
    | ReconnectStorm
    | PathDiffers
    | SlowStart
)

CATALOGUE: Final[dict[str, type[Fault]]] = {
    fault.kind: fault
    for fault in (
        TcpLatency,
        TcpReset,
        TcpBlackhole,
        TcpDown,
        TcpBandwidth,
        TcpSlice,
        TcpTruncate,
        TokenExpire,
        TokenRevoke,
        NoToken,
        ScopeDeny,
        AudWrong,
        RefreshAsAccess,
        ClockSkew,
        SharedCredential,
        JwksRotate,
        AsOutage,
        RefreshFail,
        RefreshRace,
        IdentityHop,
        PayloadRequest,
        PayloadResponse,
        ClientVanish,
        ResponseLost,
        SlowReader,
        CallCancel,
        CallRepeat,
        IdCollide,
        ArgsInvalid,
        ArgsFuzz,
        AgentLoop,
        SlowNeighbour,
        ProcessKill,
        ProcessStop,
        DepLatency,
        DepDown,
        DepReset,
        Dep429,
        DepPool,
        DepStale,
        DepDrift,
        DepPartial,
        ResultEmpty,
        ToolSlow,
        TimeoutMismatch,
        Sigterm,
        Ramp,
        Spike,
        Soak,
        SessionFlood,
        RejectFlood,
        SessionHijack,
        InitWithStaleId,
        SessionIdle,
        ResumeProbe,
        StateTamper,
        VersionSkew,
        OriginEvil,
        HostHeader,
        IdleCut,
        EnvMissing,
        ListDrift,
        ReconnectStorm,
        PathDiffers,
        SlowStart,
    )
}
