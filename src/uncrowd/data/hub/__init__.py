"""Datasets of the Hugging Face Hub, written as COCO folders."""
