// A door in front of Bifrost's Go library: reads what a client of OpenAI sends, asks the library, writes its answer.
//
//	door PORT UPSTREAM_ADDRESS
//
// Bifrost's own door is the module `transports`; where only its library can be had, this one stands for it. It does
// less: no configuration, plugin, key, log or metric of its own, so that what is measured is no more than Bifrost's.
package main

import (
	"bufio"
	"context"
	"log"
	"os"

	bifrost "github.com/maximhq/bifrost/core"
	"github.com/maximhq/bifrost/core/schemas"
	"github.com/maximhq/bifrost/core/schemas/providers/openai"

	"github.com/bytedance/sonic"
	"github.com/valyala/fasthttp"
)

const (
	concurrency = 2000
	buffer      = 5000
	largestBody = 64 << 20
)

// account says where OpenAI is and with which key it is asked.
type account struct{ upstream string }

func (account) GetConfiguredProviders() ([]schemas.ModelProvider, error) {
	return []schemas.ModelProvider{schemas.OpenAI}, nil
}

func (account) GetKeysForProvider(*context.Context, schemas.ModelProvider) ([]schemas.Key, error) {
	return []schemas.Key{{ID: "bench", Value: "sk-upstream", Weight: 1}}, nil
}

func (a account) GetConfigForProvider(schemas.ModelProvider) (*schemas.ProviderConfig, error) {
	return &schemas.ProviderConfig{
		NetworkConfig:            schemas.NetworkConfig{BaseURL: a.upstream, DefaultRequestTimeoutInSeconds: 60},
		ConcurrencyAndBufferSize: schemas.ConcurrencyAndBufferSize{Concurrency: concurrency, BufferSize: buffer},
	}, nil
}

type door struct{ gateway *bifrost.Bifrost }

func (d door) handle(ctx *fasthttp.RequestCtx) {
	switch string(ctx.Path()) {
	case "/v1/chat/completions":
		d.chat(ctx)
	case "/v1/embeddings":
		d.embeddings(ctx)
	default:
		ctx.Error("there is no such path", fasthttp.StatusNotFound)
	}
}

func (d door) chat(ctx *fasthttp.RequestCtx) {
	var asked openai.OpenAIChatRequest
	if err := sonic.Unmarshal(ctx.PostBody(), &asked); err != nil {
		ctx.Error(err.Error(), fasthttp.StatusBadRequest)
		return
	}
	if !asked.IsStreamingRequested() {
		answer, failure := d.gateway.ChatCompletionRequest(context.Background(), asked.ToBifrostRequest())
		write(ctx, answer, failure)
		return
	}
	chunks, failure := d.gateway.ChatCompletionStreamRequest(context.Background(), asked.ToBifrostRequest())
	if failure != nil {
		write(ctx, nil, failure)
		return
	}
	ctx.SetContentType("text/event-stream")
	ctx.SetBodyStreamWriter(func(out *bufio.Writer) { stream(out, chunks) })
}

func stream(out *bufio.Writer, chunks chan *schemas.BifrostStream) {
	broken := false // the channel is read to its end all the same: its writer waits for that
	for chunk := range chunks {
		if broken || chunk == nil {
			continue
		}
		var content any = chunk.BifrostResponse
		if chunk.BifrostError != nil {
			content = chunk.BifrostError
		}
		event, err := sonic.Marshal(content)
		if err != nil {
			broken = true
			continue
		}
		broken = send(out, event) != nil
	}
	if !broken {
		_ = send(out, []byte("[DONE]"))
	}
}

func send(out *bufio.Writer, data []byte) error {
	_, _ = out.WriteString("data: ")
	_, _ = out.Write(data)
	_, _ = out.WriteString("\n\n")
	return out.Flush()
}

func (d door) embeddings(ctx *fasthttp.RequestCtx) {
	var asked openai.OpenAIEmbeddingRequest
	if err := sonic.Unmarshal(ctx.PostBody(), &asked); err != nil {
		ctx.Error(err.Error(), fasthttp.StatusBadRequest)
		return
	}
	answer, failure := d.gateway.EmbeddingRequest(context.Background(), asked.ToBifrostRequest())
	write(ctx, answer, failure)
}

func write(ctx *fasthttp.RequestCtx, answer *schemas.BifrostResponse, failure *schemas.BifrostError) {
	var content any = answer
	if failure != nil {
		content = failure
		ctx.SetStatusCode(fasthttp.StatusBadGateway)
		if failure.StatusCode != nil {
			ctx.SetStatusCode(*failure.StatusCode)
		}
	}
	body, err := sonic.Marshal(content)
	if err != nil {
		ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}

func main() {
	port, upstream := os.Args[1], os.Args[2]
	gateway, err := bifrost.Init(context.Background(), schemas.BifrostConfig{
		Account: account{upstream},
		Logger:  bifrost.NewDefaultLogger(schemas.LogLevelError),
	})
	if err != nil {
		log.Fatal(err)
	}
	server := fasthttp.Server{Handler: door{gateway}.handle, MaxRequestBodySize: largestBody}
	log.Fatal(server.ListenAndServe("127.0.0.1:" + port))
}
