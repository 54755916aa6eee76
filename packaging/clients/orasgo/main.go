// Command orasgo does with a registry what the oras program does, through the
// library that oras is made of: the program itself is not in the Go module
// proxy. It is for tests only.
//
// usage:
//
//	orasgo push REFERENCE TYPE FILE       an artifact of a file
//	orasgo attach REFERENCE TYPE FILE     an artifact about what REFERENCE names
//	orasgo discover REFERENCE             digest and type of each artifact about it
//	orasgo pull REFERENCE FOLDER          the artifact's files
//
// ORAS_USER and ORAS_PASSWORD sign in.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/file"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "orasgo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: orasgo push|attach|discover|pull REFERENCE ...")
	}
	repo, err := remote.NewRepository(args[1])
	if err != nil {
		return err
	}
	client := &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache()}
	if user := os.Getenv("ORAS_USER"); user != "" {
		client.Credential = auth.StaticCredential(repo.Reference.Registry, auth.Credential{Username: user, Password: os.Getenv("ORAS_PASSWORD")})
	}
	repo.Client = client
	switch {
	case args[0] == "push" && len(args) == 4:
		return put(ctx, repo, repo.Reference.Reference, args[2], args[3], nil)
	case args[0] == "attach" && len(args) == 4:
		subject, err := repo.Resolve(ctx, repo.Reference.Reference)
		if err != nil {
			return err
		}
		return put(ctx, repo, "", args[2], args[3], &subject)
	case args[0] == "discover" && len(args) == 2:
		subject, err := repo.Resolve(ctx, repo.Reference.Reference)
		if err != nil {
			return err
		}
		return repo.Referrers(ctx, subject, "", func(found []ocispec.Descriptor) error {
			for _, d := range found {
				fmt.Println(d.Digest, d.ArtifactType)
			}
			return nil
		})
	case args[0] == "pull" && len(args) == 3:
		to, err := file.New(args[2])
		if err != nil {
			return err
		}
		_, err = oras.Copy(ctx, repo, repo.Reference.Reference, to, "", oras.DefaultCopyOptions)
		return errors.Join(err, to.Close())
	}
	return fmt.Errorf("%q is not understood", args)
}

// put packs one file as an artifact and copies it to the repository.
func put(ctx context.Context, repo *remote.Repository, tag, kind, path string, subject *ocispec.Descriptor) error {
	store, err := file.New(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer store.Close()
	layer, err := store.Add(ctx, filepath.Base(path), "text/plain", path)
	if err != nil {
		return err
	}
	manifest, err := oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, kind, oras.PackManifestOptions{Subject: subject, Layers: []ocispec.Descriptor{layer}})
	if err != nil {
		return err
	}
	if tag == "" {
		tag = manifest.Digest.String()
	}
	if err := store.Tag(ctx, manifest, tag); err != nil {
		return err
	}
	done, err := oras.Copy(ctx, store, tag, repo, tag, oras.DefaultCopyOptions)
	if err != nil {
		return err
	}
	fmt.Println(done.Digest)
	return nil
}
