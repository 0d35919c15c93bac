%% A DNS server on a port of 127.0.0.1, by UDP and TCP, whose answers are a function of the transport and the question.
-module(dns_server).
-export([start/1, start/2, stop/1, nameservers/1, set/2, asked/1, type/1, txt/1, srv/1, a/1, rcode/1, truncated/0, malformed/0]).

-record(server, {pid, port}).

%% start(Reply): Reply(udp | tcp, Question) is a binary, or none. The function may be replaced by set.
start(Reply) -> start(Reply, 0).

start(Reply, Wanted) ->
    Self = self(),
    Pid = spawn(fun() ->
                        {Udp, Tcp, Port} = open(Wanted),
                        Server = self(),
                        spawn_link(fun() -> accept(Tcp, Server) end),
                        Self ! {self(), Port},
                        loop(Udp, Reply, [])
                end),
    receive {Pid, Port} -> #server{pid = Pid, port = Port} end.

%% A port that is free for both, or the one that is wanted, once it is free.
open(Wanted) ->
    Options = [binary, {ip, {127, 0, 0, 1}}],
    case gen_tcp:listen(Wanted, [{packet, 2}, {active, false}, {reuseaddr, true} | Options]) of
        {ok, Tcp} ->
            {ok, Port} = inet:port(Tcp),
            case gen_udp:open(Port, Options) of
                {ok, Udp} -> {Udp, Tcp, Port};
                {error, eaddrinuse} -> gen_tcp:close(Tcp), open(Wanted)
            end;
        {error, eaddrinuse} -> timer:sleep(10), open(Wanted)
    end.

stop(#server{pid = Pid}) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

nameservers(#server{port = Port}) -> [{{127, 0, 0, 1}, Port}].

set(#server{pid = Pid}, Reply) -> call(Pid, {set, Reply}).

%% The questions so far: transport and type, the last one first.
asked(#server{pid = Pid}) -> call(Pid, asked).

call(Pid, Request) ->
    Ref = make_ref(),
    Pid ! {call, self(), Ref, Request},
    receive {Ref, Answer} -> Answer end.

loop(Udp, Reply, Asked) ->
    receive
        {udp, Udp, Address, Port, Question} ->
            case Reply(udp, Question) of
                none -> ok;
                Answer -> gen_udp:send(Udp, Address, Port, Answer)
            end,
            loop(Udp, Reply, [{udp, type(Question)} | Asked]);
        {tcp_question, From, Question} ->
            From ! {reply, Reply(tcp, Question)},
            loop(Udp, Reply, [{tcp, type(Question)} | Asked]);
        {call, From, Ref, {set, New}} -> From ! {Ref, ok}, loop(Udp, New, Asked);
        {call, From, Ref, asked} -> From ! {Ref, Asked}, loop(Udp, Reply, Asked)
    end.

accept(Tcp, Server) ->
    {ok, Socket} = gen_tcp:accept(Tcp),
    case gen_tcp:recv(Socket, 0, 5000) of
        {ok, Question} ->
            Server ! {tcp_question, self(), Question},
            receive
                {reply, none} -> ok;
                {reply, Answer} -> gen_tcp:send(Socket, Answer)
            end;
        {error, _} -> ok
    end,
    gen_tcp:close(Socket),
    accept(Tcp, Server).

type(Question) ->
    {_, <<Type:16, _/binary>>} = question(Question),
    case Type of 1 -> a; 16 -> txt; 33 -> srv; _ -> Type end.

%% Answers that have records of one type only. A TXT record is a list of strings, or one string.
txt(Records) ->
    fun(_, Question) ->
            answer(Question, 16, 0, 0, [<< <<(iolist_size(S)), (iolist_to_binary(S))/binary>> || S <- strings(R) >> || R <- Records])
    end.

strings([[_ | _] | _] = Strings) -> Strings;
strings(String) -> [String].

a(Addresses) -> fun(_, Question) -> answer(Question, 1, 0, 0, [<<A, B, C, D>> || {A, B, C, D} <- Addresses]) end.

srv(Hosts) ->
    fun(_, Question) ->
            answer(Question, 33, 0, 0, [<<0:16, 0:16, Port:16, (labels(Host))/binary>> || {Host, Port} <- Hosts])
    end.

rcode(Rcode) -> fun(_, Question) -> answer(Question, 16, Rcode, 0, []) end.

%% Its last record ends in the middle. Of shorter messages, some versions of inet_res take no notice at all.
malformed() ->
    fun(_, Question) -> Answer = answer(Question, 16, 0, 0, [<<4, "junk">>]), binary:part(Answer, 0, byte_size(Answer) - 3) end.

truncated() -> fun(_, Question) -> answer(Question, 16, 0, 1, []) end.

answer(<<Id:16, _:16, _/binary>> = Question, Type, Rcode, TC, Data) ->
    {Name, <<Asked:16, 1:16, _/binary>>} = question(Question),
    Records = case Asked of
                  Type -> << <<16#c00c:16, Type:16, 1:16, 5:32, (byte_size(D)):16, D/binary>> || D <- Data >>;
                  _ -> <<>>
              end,
    Count = case Records of <<>> -> 0; _ -> length(Data) end,
    <<Id:16, 1:1, 0:4, 1:1, TC:1, 1:1, 0:4, Rcode:4, 1:16, Count:16, 0:16, 0:16, Name/binary, Asked:16, 1:16, Records/binary>>.

question(<<_:12/binary, Rest/binary>>) -> name(Rest, <<>>).

name(<<0, Rest/binary>>, Name) -> {<<Name/binary, 0>>, Rest};
name(<<Length, Label:Length/binary, Rest/binary>>, Name) -> name(Rest, <<Name/binary, Length, Label/binary>>).

labels(Host) -> << << <<(byte_size(L)), L/binary>> || L <- binary:split(list_to_binary(Host), <<".">>, [global]) >>/binary, 0 >>.
